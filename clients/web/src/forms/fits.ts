// Which types of artifacts may go into which ports: the rules of the server. It knows no graph.

const STAND_INS = new Set(["image mask", "mask image", "data text"]);

/** Tell whether what is of one type may go into a port of another. */
export function fits(from: string | undefined, to: string | undefined): boolean {
  if (!from || !to) return false;
  return from === to || to === "file" || STAND_INS.has(`${from} ${to}`);
}
