// A picture that fills its place, zooms with the wheel around the pointer and is dragged when it is larger.

import { type PointerEvent, type WheelEvent, useState } from "react";

interface View {
  scale: number;
  x: number;
  y: number;
}

const WHOLE: View = { scale: 1, x: 0, y: 0 };
const LARGEST = 16;

export function ZoomedImage({ src, alt }: { src: string; alt: string }) {
  const [view, setView] = useState(WHOLE);

  const onWheel = (event: WheelEvent<HTMLDivElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    const x = event.clientX - box.left - box.width / 2;
    const y = event.clientY - box.top - box.height / 2;
    setView((now) => zoomed(now, Math.exp(-event.deltaY / 400), x, y));
  };
  const onPointerMove = (event: PointerEvent) => {
    if (event.buttons !== 1 || view.scale === 1) return;
    setView((now) => ({ ...now, x: now.x + event.movementX, y: now.y + event.movementY }));
  };

  return (
    <div
      onWheel={onWheel}
      onPointerMove={onPointerMove}
      onDoubleClick={() => setView(view.scale === 1 ? { ...WHOLE, scale: 4 } : WHOLE)}
      style={{
        position: "absolute",
        inset: 0,
        overflow: "hidden",
        touchAction: "none",
        cursor: view.scale > 1 ? "grab" : "zoom-in",
      }}
    >
      <img
        src={src}
        alt={alt}
        draggable={false}
        style={{
          width: "100%",
          height: "100%",
          objectFit: "contain",
          transform: `translate(${view.x}px, ${view.y}px) scale(${view.scale})`,
          imageRendering: view.scale > 3 ? "pixelated" : "auto",
        }}
      />
    </div>
  );
}

/** Return the view scaled by a factor so that the point (x, y), measured from the middle, stays where it is. */
export function zoomed(view: View, factor: number, x: number, y: number): View {
  const scale = Math.min(Math.max(view.scale * factor, 1), LARGEST);
  if (scale === 1) return WHOLE;
  const real = scale / view.scale;
  return { scale, x: x - (x - view.x) * real, y: y - (y - view.y) * real };
}
