"""What Marquee puts on its event bus."""
