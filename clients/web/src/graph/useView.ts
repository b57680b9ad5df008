// Which part of the canvas is seen: where new nodes go, and that they are in sight once they are there.

import { useMediaQuery } from "@mantine/hooks";
import { useReactFlow, useStoreApi } from "@xyflow/react";

import type { CanvasNode } from "./document";

/** A little more than a node without a result. */
const SIZE = { width: 300, height: 160 };
const BESIDE = 380;
/** How near to the edge of the canvas something may come that is brought into it. */
const EDGE = 16;
export const FIT = {
  maxZoom: 1,
  padding: { top: "80px", bottom: "30px", left: "30px", right: "30px" },
} as const;

/** What takes part of the canvas, in pixels: the buttons above it, and the map in its corner. */
const TOOLBAR = 76;
const MAP = { width: 230, height: 180 };
/** How much of the height of a narrow page the panel of a node takes. */
export const SHEET = 0.6;
/** What can just be read on a phone. */
const LEAST_ZOOM = 0.7;

export const useIsNarrow = (): boolean => useMediaQuery("(max-width: 62em)", window.innerWidth < 992);

export function useView() {
  const flow = useReactFlow<CanvasNode>();
  const store = useStoreApi();
  const isNarrow = useIsNarrow();
  const showStart = () => {
    const { x, y, width } = flow.getNodesBounds(flow.getNodes());
    const room = store.getState().width;
    const zoom = Math.min(1, Math.max(LEAST_ZOOM, (room - 2 * EDGE) / width));
    const left = Math.max(EDGE, (room - width * zoom) / 2);
    void flow.setViewport({ x: left - x * zoom, y: TOOLBAR - y * zoom, zoom });
  };
  // On a phone all of it would be too small to read: its beginning is shown.
  const fit = () => (isNarrow ? afterLayout(showStart) : requestAnimationFrame(() => void flow.fitView(FIT)));
  return {
    fit,
    /** Return where a new node goes: beside the chosen one, else into the middle. */
    placeFor: (chosen?: CanvasNode) => {
      if (chosen) return { x: chosen.position.x + BESIDE, y: chosen.position.y };
      const { width, height, transform } = store.getState();
      const [x, y, zoom] = transform;
      return { x: (width / 2 - x) / zoom - SIZE.width / 2, y: (height / 3 - y) / zoom };
    },
    /** Move the view by as little as it takes to have a node in it, beside or above the panel that shows it. */
    show: (id: string) => {
      const node = flow.getInternalNode(id);
      if (!node || node.dragging) return;
      const { width, height, domNode } = store.getState();
      const { x, y, zoom } = flow.getViewport();
      const { x: left, y: top } = node.internals.positionAbsolute;
      const [from, to] = [left * zoom + x, (left + (node.measured.width ?? 0)) * zoom + x];
      const across = shift(from, to, 0, width);
      const isOverMap = !isNarrow && to + across > width - MAP.width;
      const pane = domNode?.getBoundingClientRect().top ?? 0;
      const end = isNarrow ? window.innerHeight * (1 - SHEET) - pane : height - (isOverMap ? MAP.height : 0);
      const bottom = (top + (node.measured.height ?? 0)) * zoom + y;
      const down = shift(top * zoom + y, bottom, TOOLBAR - EDGE, end);
      if (across || down) void flow.setViewport({ x: x + across, y: y + down, zoom }, { duration: 200 });
    },
    /** Move the view by as little as it takes to have an element of the canvas in it. */
    bringIntoView: (element: Element) => {
      const pane = store.getState().domNode?.getBoundingClientRect();
      if (!pane) return;
      const box = element.getBoundingClientRect();
      const { x, y, zoom } = flow.getViewport();
      const [across, down] = [
        shift(box.left, box.right, pane.left, pane.right),
        shift(box.top, box.bottom, pane.top, pane.bottom),
      ];
      if (across || down) void flow.setViewport({ x: x + across, y: y + down, zoom });
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

/** Return by how much a stretch has to move to lie in another one; of one that is too long, the beginning does. */
export function shift(from: number, to: number, start: number, end: number): number {
  if (from < start + EDGE || to - from > end - start - 2 * EDGE) return start + EDGE - from;
  return Math.min(0, end - EDGE - to);
}
