"""The `marquee` command: the laptop cloud, the stand-ins of the upstreams, and searches."""
