// A picture that fills its place, zooms around the pointer and is dragged when it is larger; another one may lie under it.

import { Box } from "@mantine/core";
import { useHotkeys } from "@mantine/hooks";
import { type PointerEvent, type WheelEvent, useRef, useState } from "react";

import { WHOLE, midpoint, zoomed } from "./zoom";

const SWIPE_PX = 60;

interface Props {
  src: string;
  alt: string;
  /** What shows to the right of the divider. */
  other?: string;
  /** Called with -1 or 1 when a finger swipes over the whole picture. */
  onSwipe: (step: number) => void;
}

export function ZoomedImage({ src, alt, other, onSwipe }: Props) {
  const [view, setView] = useState(WHOLE);
  const [divider, setDivider] = useState(50);
  const fingers = useRef(new Map<number, PointerEvent>());
  const begun = useRef<PointerEvent | null>(null);
  const zoom = (factor: number) => setView((now) => zoomed(now, factor, 0, 0));
  useHotkeys([
    ["[plus]", () => zoom(1.5)],
    ["=", () => zoom(1.5)],
    ["-", () => zoom(1 / 1.5)],
    ["0", () => setView(WHOLE)],
  ]);

  const onWheel = (event: WheelEvent<HTMLDivElement>) => {
    const [x, y] = fromMiddle(event.currentTarget, event.clientX, event.clientY);
    setView((now) => zoomed(now, Math.exp(-event.deltaY / 400), x, y));
  };
  const onPointerDown = (event: PointerEvent<HTMLDivElement>) => {
    fingers.current.set(event.pointerId, event);
    begun.current = event;
  };
  const onPointerMove = (event: PointerEvent<HTMLDivElement>) => {
    const before = fingers.current.get(event.pointerId);
    if (!before) return;
    fingers.current.set(event.pointerId, event);
    const still = [...fingers.current.values()].find(({ pointerId }) => pointerId !== event.pointerId);
    if (still) {
      const { factor, x, y } = midpoint(before, event, still);
      const [fromX, fromY] = fromMiddle(event.currentTarget, x, y);
      setView((now) => zoomed(now, factor, fromX, fromY));
    } else if (view.scale > 1) {
      const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
      setView((now) => ({ ...now, x: now.x + dx, y: now.y + dy }));
    }
  };
  const onPointerUp = (event: PointerEvent) => {
    const way = event.clientX - (begun.current?.clientX ?? event.clientX);
    const isSwipe = event.pointerType === "touch" && view.scale === 1 && fingers.current.size === 1;
    fingers.current.delete(event.pointerId);
    if (isSwipe && !other && Math.abs(way) > SWIPE_PX) onSwipe(way < 0 ? 1 : -1);
  };

  const picture = {
    width: "100%",
    height: "100%",
    objectFit: "contain",
    transform: `translate(${view.x}px, ${view.y}px) scale(${view.scale})`,
    imageRendering: view.scale > 3 ? "pixelated" : "auto",
  } as const;
  return (
    <Box
      onWheel={onWheel}
      onPointerDown={onPointerDown}
      onPointerMove={onPointerMove}
      onPointerUp={onPointerUp}
      onPointerCancel={onPointerUp}
      onPointerLeave={onPointerUp}
      onDoubleClick={() => setView(view.scale === 1 ? { ...WHOLE, scale: 4 } : WHOLE)}
      data-scale={view.scale}
      style={{
        position: "absolute",
        inset: 0,
        overflow: "hidden",
        touchAction: "none",
        cursor: view.scale > 1 ? "grab" : "zoom-in",
      }}
    >
      <Box
        style={{
          position: "absolute",
          inset: 0,
          clipPath: other ? `inset(0 ${100 - divider}% 0 0)` : undefined,
        }}
      >
        <img src={src} alt={alt} draggable={false} style={picture} />
      </Box>
      {other && (
        <>
          <Box style={{ position: "absolute", inset: 0, clipPath: `inset(0 0 0 ${divider}%)` }}>
            <img src={other} alt="What it is compared with" draggable={false} style={picture} />
          </Box>
          <Box className="divider" style={{ left: `${divider}%` }} />
          <input
            type="range"
            className="divider-handle"
            aria-label="Divider"
            min={0}
            max={100}
            step={0.5}
            value={divider}
            onPointerDown={(event) => event.stopPropagation()}
            onChange={(event) => setDivider(Number(event.currentTarget.value))}
          />
        </>
      )}
    </Box>
  );
}

/** Return a point of the screen as seen from the middle of an element. */
function fromMiddle(element: Element, x: number, y: number): [number, number] {
  const box = element.getBoundingClientRect();
  return [x - box.left - box.width / 2, y - box.top - box.height / 2];
}
