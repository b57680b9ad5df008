// One job: what it is doing, what it made, and what can be done with it.

import { Badge, Box, Card, Code, Group, Progress, Spoiler, Stack, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconFileText, IconInfoCircle, IconPlayerStop, IconRefresh, IconX } from "@tabler/icons-react";
import { memo } from "react";
import { Link, useLocation } from "wouter";

import type { LiveJob } from "../api/liveJobs";
import { requestText } from "../api/http";
import { artifactUrl, cancelJob, interruptJob, retryJob } from "../api/queries";
import type { Artifact, Job } from "../api/types";
import { isFinal } from "../api/types";
import { LogWindow } from "../ui/LogWindow";
import { Problem } from "../ui/Problem";
import { Tool } from "../ui/Tool";
import { told } from "../ui/told";
import { variationsOf } from "./variations";

const COLORS: Record<Job["state"], string> = {
  waiting: "gray",
  queued: "blue",
  running: "violet",
  succeeded: "green",
  failed: "red",
  cancelled: "gray",
};

interface Props {
  job: LiveJob;
  /** What it differs by from other parts of the same job. */
  label?: string;
}

/** It is drawn again only when its own job has changed: many others may change at any time. */
export const JobCard = memo(function JobCard({ job, label = "" }: Props) {
  const made = Object.entries(job.outputs).flatMap(([port, all]) => madeBy(job, port, all));
  const artifacts = made.map(({ artifact }) => artifact);
  const notes = new Set(artifacts.flatMap((artifact) => artifact.notes ?? []));
  return (
    <Card withBorder padding="sm" component="article" aria-label={`${job.job}, ${job.state}`}>
      <Group justify="space-between" wrap="nowrap" mb="xs">
        <Group gap="xs" wrap="nowrap" style={{ minWidth: 0 }}>
          <Badge color={COLORS[job.state]} variant="light" flex="none">
            {job.state}
          </Badge>
          {job.cached && (
            <Badge color="gray" variant="outline" flex="none">
              cached
            </Badge>
          )}
          <Text size="sm" truncate>
            {[promptOf(job) || job.job, label].filter(Boolean).join(" · ")}
          </Text>
        </Group>
        <Actions job={job} />
      </Group>
      {job.state === "running" && <Running job={job} />}
      {job.error && job.state === "failed" && <Problem error={job.error} />}
      {[...notes].map((note) => (
        <Group key={note} gap={6} mb="xs" wrap="nowrap" align="start">
          <IconInfoCircle size={16} aria-hidden style={{ flexShrink: 0, marginTop: 2 }} />
          <Text size="sm">{note}</Text>
        </Group>
      ))}
      {artifacts.length > 0 && (
        <Group gap="xs" align="start">
          {made.map(({ artifact, place, label }, index) => (
            <Made
              key={`${artifact.id}-${index}`}
              artifact={artifact}
              place={place}
              room={made.length > 1 ? 300 : undefined}
              alt={[promptOf(job) || job.job, label].filter(Boolean).join(", ")}
              label={label}
            />
          ))}
        </Group>
      )}
    </Card>
  );
});

function Running({ job }: { job: LiveJob }) {
  const { step = 0, total = 0, message = "" } = job.progress ?? {};
  const left = secondsLeft(job);
  return (
    <Stack gap={6} mb="xs">
      <Progress
        value={total ? (100 * step) / total : 100}
        animated={!total}
        aria-label="Progress"
        transitionDuration={150}
      />
      <Group justify="space-between">
        <Text size="xs" c="dimmed">
          {message || (total ? `${step} of ${total}` : "Starting")}
        </Text>
        {left !== null && (
          <Text size="xs" c="dimmed">
            about {durationOf(left)} left
          </Text>
        )}
      </Group>
      {job.preview && (
        // As large as a small result, and where it will be.
        <img
          className="picture"
          src={job.preview}
          alt="Preview"
          style={{ height: 256, alignSelf: "start", objectFit: "contain", objectPosition: "left" }}
        />
      )}
    </Stack>
  );
}

function Actions({ job }: { job: LiveJob }) {
  const [isLogOpen, log] = useDisclosure();
  const act = (action: (id: string) => Promise<Job>) => told(() => action(job.id));
  if (!isFinal(job)) {
    return (
      <Group gap={2} wrap="nowrap">
        {job.state === "running" && (
          <Tool label="Finish now with what is there" icon={IconPlayerStop} onClick={act(interruptJob)} />
        )}
        <Tool label="Cancel" icon={IconX} onClick={act(cancelJob)} />
      </Group>
    );
  }
  return (
    <Group gap={2} wrap="nowrap">
      <Tool label="What it printed" icon={IconFileText} onClick={log.open} />
      {job.state !== "succeeded" && <Tool label="Try again" icon={IconRefresh} onClick={act(retryJob)} />}
      {isLogOpen && (
        <LogWindow
          title={`What ${job.job} printed`}
          name={job.id}
          read={() => requestText(`/v1/jobs/${job.id}/log`)}
          onClose={log.close}
        />
      )}
    </Group>
  );
}

interface ResultProps {
  artifact: Artifact;
  alt: string;
  /** How high a picture may be, in pixels. */
  room?: number;
}

/** Return what a job made at one of its ports, with what each differs by if the job was split. */
function madeBy(job: LiveJob, port: string, all: readonly Artifact[]) {
  const runs = variationsOf(job, all.length);
  return all.map((artifact, at) => ({
    artifact,
    place: `/gallery/${job.id}/${port}/${artifact.id}`,
    label: runs[Math.floor((at * runs.length) / all.length)]?.label ?? "",
  }));
}

/** What was made; a picture opens in full, and closed there, the page is this one again. */
function Made({ place, label, ...shown }: ResultProps & { place: string; label: string }) {
  const { artifact } = shown;
  const [here] = useLocation();
  const isPicture = artifact.type === "image" || artifact.type === "mask";
  const result = <Result {...shown} />;
  const opening = isPicture ? (
    <Link href={place} state={{ back: here }}>
      {result}
    </Link>
  ) : (
    result
  );
  if (!label) return opening;
  return (
    <figure className="captioned" style={{ width: isPicture ? undefined : "100%" }}>
      {opening}
      <Text component="figcaption" size="xs" c="dimmed">
        {label}
      </Text>
    </figure>
  );
}

export function Result({ artifact, alt, room = 512 }: ResultProps) {
  const url = artifactUrl(artifact.id);
  switch (artifact.type) {
    case "image":
    case "mask":
      return (
        <img
          className="picture checkered"
          src={url}
          alt={alt}
          width={artifact.width}
          height={artifact.height}
          loading="lazy"
          draggable
          onDragStart={(event) =>
            event.dataTransfer.setData("application/x-stable-core-artifact", artifact.id)
          }
          style={{ width: widthOf(artifact, room) }}
        />
      );
    case "audio":
      return <audio controls src={url} aria-label={alt} />;
    case "video":
      return <video controls src={url} style={{ maxWidth: "100%" }} aria-label={alt} />;
    case "text":
    case "data":
      return (
        <Spoiler maxHeight={160} showLabel="More" hideLabel="Less" w="100%">
          <Code block style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
            {typeof artifact.value === "string"
              ? artifact.value
              : JSON.stringify(artifact.value ?? null, null, 2)}
          </Code>
        </Spoiler>
      );
    default:
      return (
        <Box>
          <a href={url} download>
            Download ({Math.ceil(artifact.size / 1024)} KiB)
          </a>
        </Box>
      );
  }
}

/** Return how wide a picture is shown: small ones twice as large, large ones so that others have room beside and below. */
function widthOf({ width, height }: Artifact, room: number): string | undefined {
  if (!width || !height) return undefined;
  const wanted = Math.max(width, Math.min(256, 2 * width));
  return `min(${wanted}px, min(${room}px, 60vh) * ${width / height})`;
}

/** Return the texts that a job was given: what people know it by. */
export const promptOf = (job: Pick<Job, "inputs">): string => {
  const texts = Object.values(job.inputs)
    .flat()
    .filter((value) => typeof value === "string");
  return texts.join(" · ");
};

/** Return seconds as people say them. */
export function durationOf(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}

/** Return how long a running job will still take at its present speed; null while nobody can know. */
export function secondsLeft(job: LiveJob, now = Date.now() / 1000): number | null {
  const { step = 0, total = 0 } = job.progress ?? {};
  if (!job.started || step < 1 || step >= total) return null;
  return Math.max(1, Math.round(((now - job.started) / step) * (total - step)));
}
