// A frame around nodes: a name that can be changed in place, and corners to pull. What lies in it moves with it.

import { Box } from "@mantine/core";
import { type NodeProps, NodeResizer } from "@xyflow/react";
import { use } from "react";

import { Canvas } from "./canvas";
import type { FrameNode as Node } from "./document";

export function FrameNode({ id, data, selected }: NodeProps<Node>) {
  const { onTitle } = use(Canvas);
  return (
    <Box
      w="100%"
      h="100%"
      style={{
        border: `1.5px solid var(--mantine-color-${selected ? "violet-5" : "default-border"})`,
        borderRadius: "var(--mantine-radius-lg)",
        background: "light-dark(rgb(121 80 242 / 5%), rgb(151 117 250 / 8%))",
      }}
    >
      <div style={{ pointerEvents: "all" }}>
        <NodeResizer isVisible={selected} minWidth={160} minHeight={100} lineStyle={{ opacity: 0 }} />
      </div>
      <Box className="frame-title" px="sm" py={6} style={{ pointerEvents: "all", cursor: "grab" }}>
        <input
          className="nodrag frame-name"
          aria-label="Name of the group"
          value={data.title}
          size={Math.max(data.title.length, 4)}
          onChange={(event) => onTitle(id, event.currentTarget.value)}
        />
      </Box>
    </Box>
  );
}
