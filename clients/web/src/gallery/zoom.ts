// How a view of a picture changes when it is zoomed. It draws nothing.

export interface View {
  scale: number;
  x: number;
  y: number;
}

interface Point {
  clientX: number;
  clientY: number;
}

export const WHOLE: View = { scale: 1, x: 0, y: 0 };
const LARGEST = 16;

/** Return the view scaled by a factor so that the point (x, y), measured from the middle, stays where it is. */
export function zoomed(view: View, factor: number, x: number, y: number): View {
  const scale = Math.min(Math.max(view.scale * factor, 1), LARGEST);
  if (scale === 1) return WHOLE;
  const real = scale / view.scale;
  return { scale, x: x - (x - view.x) * real, y: y - (y - view.y) * real };
}

/** Return how much two fingers have moved apart, one of them from `before` to `now`, and the point between them. */
export function midpoint(before: Point, now: Point, still: Point): { factor: number; x: number; y: number } {
  const distance = (point: Point) => Math.hypot(point.clientX - still.clientX, point.clientY - still.clientY);
  return {
    factor: distance(now) / Math.max(distance(before), 1),
    x: (now.clientX + still.clientX) / 2,
    y: (now.clientY + still.clientY) / 2,
  };
}
