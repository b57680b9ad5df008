// A job on the canvas: its ports as coloured handles, what is set at it, how it is doing, and what it made.

import { Badge, Box, Group, Image, Progress, Text, Tooltip, UnstyledButton } from "@mantine/core";
import { Handle, type NodeProps, Position, useConnection } from "@xyflow/react";
import { memo, use } from "react";

import type { LiveJob } from "../api/liveJobs";
import { artifactUrl } from "../api/queries";
import type { Port, Signature } from "../api/types";
import { fits } from "../forms/fits";
import { Canvas, Doing } from "./canvas";
import type { JobData, JobNode as Node } from "./document";
import type { Side } from "./editing";
import type { Times } from "./fanOut";
import { NodeFields } from "./NodeFields";
import { PORT_COLORS } from "./portColors";
import type { Refusal } from "./refusals";

const NO_PORTS: readonly Port[] = [];
const STATE_COLORS: Record<string, string> = {
  running: "violet",
  succeeded: "green",
  failed: "red",
  queued: "blue",
};

export function JobNode({ id, data, selected }: NodeProps<Node>) {
  const { signatures } = use(Canvas);
  const { runs, times, refusal } = use(Doing);
  const run = runs.get(id);
  return (
    <Body
      id={id}
      data={data}
      isChosen={selected}
      signature={signatures.get(data.job)}
      times={times.get(id)}
      job={run?.job}
      isOld={run?.isOld ?? false}
      refusal={refusal?.node === id ? refusal : null}
    />
  );
}

interface BodyProps {
  id: string;
  data: JobData;
  isChosen: boolean;
  signature: Signature | undefined;
  times: Times | undefined;
  job: LiveJob | undefined;
  isOld: boolean;
  /** Why the graph did not run, if this node is to blame. */
  refusal: Refusal | null;
}

/** It is drawn again only when something of its own has changed: there may be a hundred others. */
const Body = memo(function Body({ id, data, isChosen, signature, times, job, isOld, refusal }: BodyProps) {
  return (
    <Box className="job-node" data-chosen={isChosen || undefined} data-wrong={refusal ? true : undefined}>
      <Group className="node-head" justify="space-between" gap={4} px="sm" py={6} wrap="nowrap">
        <Text size="sm" fw={600} truncate title={data.job}>
          {id}
        </Text>
        <Group gap={4} wrap="nowrap">
          <TimesBadge times={times} />
          {job && <StateBadge job={job} isOld={isOld} />}
        </Group>
      </Group>
      {refusal && (
        <Text className="node-refusal" size="xs" role="alert">
          {refusal.message}
        </Text>
      )}
      {!signature && (
        <Text size="xs" c="red" px="sm" pb={6}>
          {data.job} is not installed
        </Text>
      )}
      <Group align="start" justify="space-between" gap={0} pb={8} wrap="nowrap">
        <Ports node={id} ports={signature?.inputs ?? NO_PORTS} side="target" />
        <Ports node={id} ports={signature?.outputs ?? NO_PORTS} side="source" />
      </Group>
      {signature && <NodeFields id={id} data={data} signature={signature} lastParams={job?.params} />}
      {job && <Outcome name={id} job={job} isOld={isOld} />}
    </Box>
  );
});

function TimesBadge({ times }: { times: Times | undefined }) {
  if (times === undefined || times === 1) return null;
  const told = times === null ? "Runs once for each of what comes in" : `Runs ${times} times`;
  return (
    <Tooltip label={told}>
      <Badge size="sm" variant="outline" color="gray" tt="none" aria-label={told} style={{ flexShrink: 0 }}>
        ×{times ?? "n"}
      </Badge>
    </Tooltip>
  );
}

function StateBadge({ job, isOld }: { job: LiveJob; isOld: boolean }) {
  if (isOld && job.state === "succeeded") {
    return (
      <Badge size="sm" variant="outline" color="orange" style={{ flexShrink: 0 }}>
        changed
      </Badge>
    );
  }
  return (
    <Badge
      size="sm"
      variant="light"
      color={job.cached ? "gray" : (STATE_COLORS[job.state] ?? "gray")}
      style={{ flexShrink: 0 }}
    >
      {job.cached ? "cached" : job.state}
    </Badge>
  );
}

/** How far a run is and what it made: a picture, the first words of a text, or what went wrong. */
function Outcome({ name, job, isOld }: { name: string; job: LiveJob; isOld: boolean }) {
  const { onOpen } = use(Canvas);
  const made = Object.values(job.outputs).flat();
  const pictures = made.filter(({ type }) => type === "image" || type === "mask");
  const shown = job.preview ?? (pictures[0] && artifactUrl(pictures[0].id));
  const text = made.find(({ value }) => value !== undefined)?.value;
  const { step = 0, total = 0 } = job.progress ?? {};
  return (
    <Box style={{ opacity: isOld ? 0.55 : 1 }}>
      {(job.state === "running" || (job.state === "waiting" && total > 0)) && (
        <Progress
          size="xs"
          radius={0}
          value={total ? (100 * step) / total : 100}
          animated={!total}
          aria-label={`Progress of ${name}`}
        />
      )}
      {job.state === "failed" && (
        <Box px="sm" pb={6}>
          <Text size="xs" c="red" lineClamp={3}>
            {job.error?.message}
          </Text>
        </Box>
      )}
      {shown && (
        <UnstyledButton
          className="nokey"
          pos="relative"
          display="block"
          w="100%"
          aria-label={pictures[0] ? `Open the result of ${name}` : `Preview of ${name}`}
          onClick={(event) => {
            if (!pictures[0]) return;
            event.stopPropagation();
            onOpen(name, pictures[0].id);
          }}
        >
          <Image
            src={shown}
            alt={job.preview ? `Preview of ${name}` : `Result of ${name}`}
            h={130}
            fit="contain"
            className="checkered"
            draggable={false}
            style={{ borderRadius: "0 0 7px 7px" }}
          />
          {pictures.length > 1 && (
            <Badge pos="absolute" bottom={6} right={6} size="sm" color="dark" tt="none">
              {pictures.length} pictures
            </Badge>
          )}
        </UnstyledButton>
      )}
      {!shown && text !== undefined && (
        <Box px="sm" pb={8}>
          <Text size="xs" c="dimmed" lineClamp={4} ff="monospace">
            {typeof text === "string" ? text : JSON.stringify(text)}
          </Text>
        </Box>
      )}
    </Box>
  );
}

function Ports({ node, ports, side }: { node: string; ports: readonly Port[]; side: Side }) {
  const isSource = side === "source";
  const { signatures } = use(Canvas);
  // While a wire is pulled, ports that do not take it step back.
  const pulled = useConnection(({ inProgress, fromHandle, fromNode }) => {
    if (!inProgress) return "";
    if (fromNode.id === node || fromHandle.type === side) return "nothing";
    const job = String(fromNode.data["job"]);
    const from = signatures.get(job)?.[isSource ? "inputs" : "outputs"];
    return from?.find(({ name }) => name === fromHandle.id)?.type ?? "nothing";
  });
  const takes = (port: Port) => !pulled || (isSource ? fits(port.type, pulled) : fits(pulled, port.type));
  return (
    <Box style={{ minWidth: 0 }}>
      {ports.map((port) => (
        <Box key={port.name} pos="relative" px="sm" h={24} style={{ opacity: takes(port) ? 1 : 0.25 }}>
          <Handle
            type={side}
            id={port.name}
            position={isSource ? Position.Right : Position.Left}
            title={`${port.name}: ${port.list ? "several of " : ""}${port.type}`}
            style={{
              width: 13,
              height: 13,
              background: PORT_COLORS[port.type],
              border: "2px solid var(--mantine-color-body)",
              borderRadius: port.list ? 3 : "50%",
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
