import { describe, expect, it } from "vitest";

import type { Signature } from "../api/types";
import { type Graph, frame, fromDocument, toDocument } from "./document";
import {
  chosenPart,
  framed,
  freshKey,
  pasted,
  renamed,
  whyNot,
  withContents,
  withJob,
  withWire,
} from "./editing";

const port = (name: string, type: string, list = false) => ({ name, type, list, optional: false });
const signatures = new Map(
  [
    { name: "a.draw", inputs: [port("prompt", "text")], outputs: [port("image", "image")] },
    { name: "a.turn", inputs: [port("image", "image")], outputs: [port("image", "image")] },
    { name: "a.sheet", inputs: [port("images", "image", true)], outputs: [port("image", "image")] },
    { name: "a.say", inputs: [port("data", "data")], outputs: [port("text", "text")] },
  ].map((signature) => [signature.name, signature as unknown as Signature]),
);
const graph = fromDocument({
  version: 1,
  jobs: {
    draw: { job: "a.draw", inputs: { prompt: "x" }, params: {} },
    turn: { job: "a.turn", inputs: { image: { job: "draw", output: "image" } }, params: {} },
    sheet: { job: "a.sheet", inputs: {}, params: {} },
    say: { job: "a.say", inputs: {}, params: {} },
  },
});
const connection = (source: string, sourceHandle: string, target: string, targetHandle: string) => ({
  source,
  sourceHandle,
  target,
  targetHandle,
});
const signature = (name: string) => signatures.get(name) as Signature;

describe("a wire", () => {
  it("is refused with the reason", () => {
    expect(whyNot(graph, signatures, connection("say", "text", "turn", "image"))).toBe(
      "image takes image, not text.",
    );
    expect(whyNot(graph, signatures, connection("turn", "image", "turn", "image"))).toContain("circle");
    expect(whyNot(graph, signatures, connection("say", "text", "draw", "prompt"))).toBeNull();
  });
  it("takes the place of another one, but not at a port that takes several", () => {
    const { nodes } = graph;
    const second = withJob(graph, signatures, signature("a.draw"), { x: 0, y: 0 });
    const edges = withWire(second, signatures, connection("draw_2", "image", "turn", "image"));
    expect(edges.filter(({ target }) => target === "turn")).toHaveLength(1);
    const one = withWire(graph, signatures, connection("draw", "image", "sheet", "images"));
    const both = withWire({ nodes, edges: one }, signatures, connection("turn", "image", "sheet", "images"));
    expect(both.filter(({ target }) => target === "sheet")).toHaveLength(2);
  });
});

describe("a new job", () => {
  it("is wired to the loose end, whichever end it is", () => {
    const after = withJob(
      graph,
      signatures,
      signature("a.turn"),
      { x: 5, y: 6 },
      {
        node: "turn",
        port: "image",
        side: "source",
      },
    );
    expect(after.edges.at(-1)).toMatchObject({ source: "turn", target: "turn_2", targetHandle: "image" });
    const before = withJob(
      graph,
      signatures,
      signature("a.draw"),
      { x: 5, y: 6 },
      {
        node: "sheet",
        port: "images",
        side: "target",
      },
    );
    expect(before.edges.at(-1)).toMatchObject({ source: "draw_2", target: "sheet" });
    expect(before.nodes.filter(({ selected }) => selected).map(({ id }) => id)).toEqual(["draw_2"]);
  });
});

describe("copy and paste", () => {
  const choose = (ids: string[]): Graph => ({
    ...graph,
    nodes: graph.nodes.map((node) => ({ ...node, selected: ids.includes(node.id) })),
  });
  it("keeps the wires between what is chosen and gives new keys", () => {
    const part = chosenPart(choose(["draw", "turn"]));
    const after = pasted(graph, toDocument(part.nodes, part.edges));
    expect(after.nodes.slice(-2).map(({ id }) => id)).toEqual(["draw_2", "turn_2"]);
    expect(after.edges.at(-1)).toMatchObject({ source: "draw_2", target: "turn_2" });
  });
  it("takes what lies in a chosen frame", () => {
    const around = framed(choose(["draw", "turn"]), { x: 0, y: 0 });
    expect(chosenPart(around).nodes.map(({ id }) => id)).toContain("turn");
  });
});

describe("a frame", () => {
  const nodes = [frame("frame", "Group", { x: 0, y: 0, width: 400, height: 400 }), ...graph.nodes].map(
    (node) => (node.id === "draw" ? { ...node, position: { x: 10, y: 50 } } : node),
  );
  const content = () => new Set(["draw"]);
  it("takes what lies in it along", () => {
    const changes = withContents(
      [{ type: "position", id: "frame", position: { x: 30, y: 5 } }],
      nodes,
      content,
    );
    expect(changes).toContainEqual({
      type: "position",
      id: "draw",
      position: { x: 40, y: 55 },
      dragging: undefined,
    });
  });
  it("leaves it where it is when only its side is pulled", () => {
    const pulled = { type: "dimensions" as const, id: "frame", dimensions: { width: 410, height: 400 } };
    const moved = { type: "position" as const, id: "frame", position: { x: -10, y: 0 } };
    expect(withContents([moved, pulled], nodes, content)).toHaveLength(2);
  });
});

describe("keys", () => {
  it("are short and unique", () => {
    expect(freshKey("sd.txt2img", new Set())).toBe("txt2img");
    expect(freshKey("sd.txt2img", new Set(["txt2img", "txt2img_2"]))).toBe("txt2img_3");
    expect(freshKey("txt2img_2", new Set(["txt2img", "txt2img_2"]))).toBe("txt2img_3");
  });
  it("are changed in wires too", () => {
    expect(renamed(graph, "draw", "first").edges[0]).toMatchObject({
      id: "first.image>turn.image",
      source: "first",
    });
  });
});
