// A job on the canvas: its ports as coloured handles, how it is doing, and a small picture of what it made.

import { Badge, Box, Group, Image, Progress, Text } from "@mantine/core";
import { Handle, type NodeProps, Position } from "@xyflow/react";
import { createContext, use } from "react";

import type { LiveJob } from "../api/liveJobs";
import { artifactUrl } from "../api/queries";
import type { Artifact, Port, Signature } from "../api/types";
import type { JobNode as Node } from "./document";

export interface CanvasState {
  signatures: ReadonlyMap<string, Signature>;
  /** The jobs of the last run, by node. */
  runs: ReadonlyMap<string, LiveJob>;
}

export const Canvas = createContext<CanvasState>({ signatures: new Map(), runs: new Map() });

export const PORT_COLORS: Record<string, string> = {
  text: "#40c057",
  image: "#4dabf7",
  mask: "#adb5bd",
  audio: "#f59f00",
  video: "#e64980",
  data: "#be4bdb",
  file: "#868e96",
};

const STATE_COLORS: Record<string, string> = {
  running: "violet",
  succeeded: "green",
  failed: "red",
  queued: "blue",
};

export function JobNode({ id, data, selected }: NodeProps<Node>) {
  const { signatures, runs } = use(Canvas);
  const signature = signatures.get(data.job);
  const run = runs.get(id);
  const picture = (Object.values(run?.outputs ?? {}).flat() as Artifact[]).find(
    ({ type }) => type === "image" || type === "mask",
  );
  const shown = run?.preview ?? (picture && artifactUrl(picture.id));
  return (
    <Box
      bg="var(--mantine-color-body)"
      w={220}
      style={{
        border: `1.5px solid var(--mantine-color-${selected ? "violet-5" : "default-border"})`,
        borderRadius: "var(--mantine-radius-md)",
        boxShadow: "var(--mantine-shadow-sm)",
      }}
    >
      <Group justify="space-between" gap={4} px="sm" py={6} wrap="nowrap">
        <Text size="sm" fw={600} truncate title={data.job}>
          {id}
        </Text>
        {run && (
          <Badge size="xs" variant="light" color={run.cached ? "gray" : (STATE_COLORS[run.state] ?? "gray")}>
            {run.cached ? "cached" : run.state}
          </Badge>
        )}
      </Group>
      {!signature && (
        <Text size="xs" c="red" px="sm" pb={6}>
          {data.job} is not installed
        </Text>
      )}
      <Group align="start" justify="space-between" gap={0} pb={8} wrap="nowrap">
        <Ports ports={signature?.inputs ?? []} side="target" />
        <Ports ports={signature?.outputs ?? []} side="source" />
      </Group>
      {run?.state === "running" && (
        <Progress
          size="xs"
          radius={0}
          value={run.progress?.total ? (100 * run.progress.step) / run.progress.total : 100}
          animated={!run.progress?.total}
          aria-label="Progress"
        />
      )}
      {run?.state === "failed" && (
        <Text size="xs" c="red" px="sm" pb={6} lineClamp={3}>
          {run.error?.message}
        </Text>
      )}
      {shown && (
        <Image
          src={shown}
          alt={`Result of ${id}`}
          h={120}
          fit="contain"
          className="checkered"
          style={{ borderRadius: "0 0 7px 7px" }}
        />
      )}
    </Box>
  );
}

function Ports({ ports, side }: { ports: readonly Port[]; side: "source" | "target" }) {
  const isSource = side === "source";
  return (
    <Box style={{ minWidth: 0 }}>
      {ports.map((port) => (
        <Box key={port.name} pos="relative" px="sm" h={24}>
          <Handle
            type={side}
            id={port.name}
            position={isSource ? Position.Right : Position.Left}
            title={`${port.name}: ${port.list ? "several of " : ""}${port.type}`}
            style={{
              width: 11,
              height: 11,
              background: PORT_COLORS[port.type],
              border: "2px solid var(--mantine-color-body)",
            }}
          />
          <Text size="xs" c="dimmed" ta={isSource ? "right" : "left"} truncate>
            {port.name}
            {port.optional && "?"}
          </Text>
        </Box>
      ))}
    </Box>
  );
}
