// Addresses: every state of the page has one behind the hash, which never reaches a server.

/** "#/runs/ID?status=FAILED" as {path: ["runs", "ID"], query: {status: "FAILED"}}. */
export function route(hash = location.hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  return {
    path: path.split("/").filter(Boolean).map(decoded),
    query: Object.fromEntries(new URLSearchParams(query)),
  };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The address of a state; parameters without a value are left out. */
export function to(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const asked = new URLSearchParams(given).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${asked ? `?${asked}` : ""}`;
}

/** Go there; `replace` leaves no trace of where we are. */
export function go(address, { replace = false } = {}) {
  if (!replace) location.hash = address;
  else location.replace(new URL(address, document.baseURI));
}

/** The key that a first address carries ("#key=…", a place behind it), which is taken out of it. */
export function keyInAddress() {
  const found = /^#key=([^/]*)(\/.*)?$/.exec(location.hash);
  if (!found) return null;
  history.replaceState(history.state, "", `#${found[2] ?? "/"}`);
  return decoded(found[1]);
}
