// One colour for each type of port: handles and the wires between them have it. Strong enough on light and dark.

export const PORT_COLORS: Record<string, string> = {
  text: "#2f9e44",
  image: "#228be6",
  mask: "#868e96",
  audio: "#e8890c",
  video: "#e64980",
  data: "#9c36b5",
  file: "#a07855",
};
