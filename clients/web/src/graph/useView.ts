// Which part of the canvas is seen: where new nodes go, and that they are in sight once they are there.

import { useReactFlow, useStoreApi } from "@xyflow/react";

import type { CanvasNode } from "./document";

/** A little more than a node without a result. */
const SIZE = { width: 240, height: 160 };
const BESIDE = 300;
export const FIT = {
  maxZoom: 1,
  padding: { top: "80px", bottom: "30px", left: "30px", right: "30px" },
} as const;

export function useView() {
  const flow = useReactFlow<CanvasNode>();
  const store = useStoreApi();
  const fit = () => requestAnimationFrame(() => void flow.fitView(FIT));
  return {
    fit,
    /** Return where a new node goes: beside the chosen one, else into the middle. */
    placeFor: (chosen?: CanvasNode) => {
      if (chosen) return { x: chosen.position.x + BESIDE, y: chosen.position.y };
      const { width, height, transform } = store.getState();
      const [x, y, zoom] = transform;
      return { x: (width / 2 - x) / zoom - SIZE.width / 2, y: (height / 3 - y) / zoom };
    },
    /** Move the view if a node at this place is not wholly in it, once the canvas has its new size. */
    reveal: (at: { x: number; y: number }) =>
      afterLayout(() => {
        const { width, height, transform } = store.getState();
        const [x, y, zoom] = transform;
        const [left, top] = [at.x * zoom + x, at.y * zoom + y];
        const isSeen =
          left >= 0 && top >= 0 && left + SIZE.width * zoom <= width && top + SIZE.height * zoom <= height;
        if (!isSeen) fit();
      }),
  };
}

/** Do something in the frame after the next one: in that one, those who watch the size of the canvas are told of it. */
const afterLayout = (act: () => void) => requestAnimationFrame(() => requestAnimationFrame(act));
