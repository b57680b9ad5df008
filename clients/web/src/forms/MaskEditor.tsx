// Paints a mask over a picture with a brush. White is what a job may change; the mask is as large as the picture.

import { Box, Button, Group, Modal, SegmentedControl, Slider, Text } from "@mantine/core";
import { useHotkeys } from "@mantine/hooks";
import { IconArrowBackUp, IconContrast, IconTrash } from "@tabler/icons-react";
import { type PointerEvent, useEffect, useRef, useState } from "react";

import { Tool } from "../ui/Tool";

interface Props {
  /** Address of the picture under the mask. */
  picture: string;
  /** Address of a mask to go on with. */
  mask?: string;
  onDone: (mask: File) => void;
  onClose: () => void;
}

type Point = [number, number];

interface Size {
  width: number;
  height: number;
}

export default function MaskEditor({ picture, mask, onDone, onClose }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const past = useRef<ImageData[]>([]);
  const last = useRef<Point | null>(null);
  const [size, setSize] = useState<Size | null>(null);
  const [brush, setBrush] = useState(40);
  const [mode, setMode] = useState("paint");
  const [undos, setUndos] = useState(0);

  useEffect(() => {
    if (!size || !mask) return;
    void loaded(mask).then((image) => {
      const context = contextOf(canvas.current);
      context.drawImage(image, 0, 0, size.width, size.height);
      // A mask file is white on black; here what is masked is opaque and the rest transparent.
      edit(context, (pixels, at) => [255, 255, 255, pixels[at] ?? 0]);
    });
  }, [mask, size]);

  const remember = () => {
    const context = contextOf(canvas.current);
    past.current.push(context.getImageData(0, 0, context.canvas.width, context.canvas.height));
    if (past.current.length > 30) past.current.shift();
    setUndos(past.current.length);
  };
  const undo = () => {
    const before = past.current.pop();
    if (before) contextOf(canvas.current).putImageData(before, 0, 0);
    setUndos(past.current.length);
  };
  const clear = () => {
    remember();
    const context = contextOf(canvas.current);
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  };
  const invert = () => {
    remember();
    edit(contextOf(canvas.current), (pixels, at) => [255, 255, 255, 255 - (pixels[at + 3] ?? 0)]);
  };
  useHotkeys([
    ["mod+Z", undo],
    ["[", () => setBrush((now) => Math.max(1, now - 5))],
    ["]", () => setBrush((now) => Math.min(100, now + 5))],
    ["E", () => setMode((now) => (now === "paint" ? "erase" : "paint"))],
  ]);

  const pointAt = (event: PointerEvent<HTMLCanvasElement>): Point => {
    const box = event.currentTarget.getBoundingClientRect();
    const { width, height } = event.currentTarget;
    return [
      ((event.clientX - box.left) * width) / box.width,
      ((event.clientY - box.top) * height) / box.height,
    ];
  };
  const draw = (to: Point) => {
    const context = contextOf(canvas.current);
    const [x, y] = last.current ?? to;
    context.globalCompositeOperation = mode === "paint" ? "source-over" : "destination-out";
    context.strokeStyle = "#fff";
    context.lineCap = "round";
    // The brush is measured in hundredths of the shorter side, so it feels the same on every picture.
    context.lineWidth = Math.max(1, (brush / 250) * Math.min(context.canvas.width, context.canvas.height));
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(to[0] + 0.01, to[1]);
    context.stroke();
    context.globalCompositeOperation = "source-over";
    last.current = to;
  };
  const finish = () => {
    const painted = contextOf(canvas.current);
    const { width, height } = painted.canvas;
    const made = document.createElement("canvas");
    Object.assign(made, { width, height });
    const context = contextOf(made);
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    context.drawImage(painted.canvas, 0, 0);
    made.toBlob((blob) => blob && onDone(new File([blob], "mask.png", { type: "image/png" })), "image/png");
  };

  return (
    <Modal opened onClose={onClose} title="Paint the mask" size="auto" centered>
      <Group mb="sm" gap="md" wrap="wrap">
        <SegmentedControl
          size="xs"
          value={mode}
          onChange={setMode}
          data={[
            { value: "paint", label: "Paint" },
            { value: "erase", label: "Erase" },
          ]}
        />
        <Group gap={6} w={190} wrap="nowrap">
          <Text size="xs" id="brush-label">
            Brush
          </Text>
          <Slider
            flex={1}
            min={1}
            max={100}
            value={brush}
            onChange={setBrush}
            label={null}
            thumbProps={{ "aria-labelledby": "brush-label" }}
          />
        </Group>
        <Group gap={2}>
          <Tool label="Undo" icon={IconArrowBackUp} disabled={!undos} onClick={undo} />
          <Tool label="Invert" icon={IconContrast} onClick={invert} />
          <Tool label="Clear" icon={IconTrash} onClick={clear} />
        </Group>
        <Button size="xs" ml="auto" onClick={finish} disabled={!size}>
          Use this mask
        </Button>
      </Group>
      <Box pos="relative" mx="auto" style={size ? shapeOf(size) : undefined}>
        <img
          src={picture}
          alt="The picture under the mask"
          draggable={false}
          onLoad={({ currentTarget: { naturalWidth: width, naturalHeight: height } }) =>
            setSize({ width, height })
          }
          style={{ display: "block", width: "100%" }}
        />
        {size && (
          <canvas
            ref={canvas}
            width={size.width}
            height={size.height}
            aria-label="Mask"
            onPointerDown={(event) => {
              event.currentTarget.setPointerCapture(event.pointerId);
              remember();
              draw(pointAt(event));
            }}
            onPointerMove={(event) => event.buttons === 1 && draw(pointAt(event))}
            onPointerUp={() => {
              last.current = null;
            }}
            style={{
              position: "absolute",
              inset: 0,
              width: "100%",
              height: "100%",
              opacity: 0.6,
              touchAction: "none",
              cursor: "crosshair",
            }}
          />
        )}
      </Box>
    </Modal>
  );
}

/** Return the place of a picture: as large as the window lets it be, small ones enlarged, and always in its shape. */
function shapeOf({ width, height }: Size) {
  const shape = width / height;
  const wanted = `max(${width}px, min(480px, 60vh) * ${shape})`;
  return {
    width: `min(${wanted}, 70vh * ${shape}, 90vw - 2 * var(--mantine-spacing-md))`,
    aspectRatio: `${width} / ${height}`,
  };
}

function contextOf(canvas: HTMLCanvasElement | null): CanvasRenderingContext2D {
  const context = canvas?.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("This browser cannot draw on a canvas.");
  return context;
}

function edit(
  context: CanvasRenderingContext2D,
  pixel: (pixels: Uint8ClampedArray, at: number) => number[],
): void {
  const image = context.getImageData(0, 0, context.canvas.width, context.canvas.height);
  for (let at = 0; at < image.data.length; at += 4) image.data.set(pixel(image.data, at), at);
  context.putImageData(image, 0, 0);
}

function loaded(address: string): Promise<HTMLImageElement> {
  const image = new Image();
  image.src = address;
  return image.decode().then(() => image);
}
