// Everything that waits, runs or has ended, in step with the server: what runs, what comes next, what went wrong.

import { Box, Button, Group, SegmentedControl, Stack, Text, Title } from "@mantine/core";
import { type ReactNode, useMemo } from "react";
import { useLocation, useParams } from "wouter";

import type { LiveJob } from "../api/liveJobs";
import { cancelAll, retryJob } from "../api/queries";
import { isFinal } from "../api/types";
import { useWork } from "../api/work";
import { Empty } from "../ui/Empty";
import { More } from "../ui/More";
import { told } from "../ui/told";
import { useCleared } from "./cleared";
import { queueOf } from "./groups";
import { JobCard } from "./JobCard";
import { NextJobs } from "./NextJobs";
import { SplitJob } from "./SplitJob";

const SHOWN = 100;
const VIEWS = ["unfinished", "finished", "failed"] as const;
type View = (typeof VIEWS)[number];

export default function QueuePage() {
  const jobs = useWork();
  const [, navigate] = useLocation();
  const asked = useParams()["*"];
  const view: View = VIEWS.find((one) => one === asked) ?? "unfinished";
  const { cleared, clear } = useCleared();
  const ended = useMemo(
    () => jobs.filter((job) => isFinal(job) && job.parent === null && (job.finished ?? 0) > cleared),
    [jobs, cleared],
  );
  const failed = ended.filter(({ state }) => state === "failed");
  const unfinished = jobs.filter((job) => !isFinal(job) && job.parent === null).length;
  const shown = view === "failed" ? failed : ended;
  const labels: Record<View, ReactNode> = {
    unfinished: <Counted label="Unfinished" count={unfinished} />,
    finished: "Finished",
    failed: <Counted label="Failed" count={failed.length} color="red" />,
  };
  return (
    <Box p="md" maw={880} mx="auto">
      <Group justify="space-between" mb="md" gap="xs">
        <Title order={2} size="h3" mr="auto">
          Queue
        </Title>
        {view === "unfinished" && (
          <Button size="xs" variant="default" disabled={!unfinished} onClick={told(() => cancelAll())}>
            Cancel all
          </Button>
        )}
        {view === "failed" && (
          <Button
            size="xs"
            variant="default"
            disabled={!failed.length}
            onClick={told(() => Promise.all(failed.map(({ id }) => retryJob(id))))}
          >
            Try all again
          </Button>
        )}
        {view !== "unfinished" && (
          <Button
            size="xs"
            variant="default"
            disabled={!ended.length}
            onClick={() => clear(Math.max(...ended.map(({ finished }) => finished ?? 0)))}
          >
            Clear finished
          </Button>
        )}
        <SegmentedControl
          size="xs"
          value={view}
          onChange={(next) => navigate(`/queue/${next}`)}
          data={VIEWS.map((value) => ({ value, label: labels[value] }))}
          aria-label="Which jobs"
        />
      </Group>
      {view === "unfinished" ? (
        <Unfinished jobs={jobs} />
      ) : shown.length ? (
        <Stack gap="sm">
          {shown.slice(0, SHOWN).map((job) => (
            <JobCard key={job.id} job={job} />
          ))}
          {shown.length > SHOWN && <More>Older ones are in the gallery.</More>}
        </Stack>
      ) : cleared === Infinity ? null : (
        <Empty title={view === "failed" ? "Nothing failed" : "Nothing has ended yet"}>
          {cleared
            ? "What was cleared from this list is still in the gallery."
            : "Jobs appear here when they end."}
        </Empty>
      )}
    </Box>
  );
}

function Unfinished({ jobs }: { jobs: readonly LiveJob[] }) {
  const { begun, next, waiting } = useMemo(() => queueOf(jobs), [jobs]);
  if (!begun.length && !next.length && !waiting.length) {
    return <Empty title="Nothing to do">Jobs appear here when they are started.</Empty>;
  }
  return (
    <Stack gap="lg">
      {begun.length > 0 && (
        <Section title="Running">
          {begun
            .slice(0, SHOWN)
            .map(({ job, parts }) =>
              parts.length ? (
                <SplitJob key={job.id} job={job} parts={parts} />
              ) : (
                <JobCard key={job.id} job={job} />
              ),
            )}
        </Section>
      )}
      {next.length > 0 && (
        <Section title="Next">
          <NextJobs entries={next} />
        </Section>
      )}
      {waiting.length > 0 && (
        <Section title="Waiting for results of others">
          {waiting.slice(0, SHOWN).map(({ job }) => (
            <JobCard key={job.id} job={job} />
          ))}
          {waiting.length > SHOWN && <More>{`And ${waiting.length - SHOWN} more.`}</More>}
        </Section>
      )}
    </Stack>
  );
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Stack gap="xs" component="section" aria-label={title}>
      <Text size="xs" fw={700} tt="uppercase" c="dimmed">
        {title}
      </Text>
      {children}
    </Stack>
  );
}

function Counted({ label, count, color = "dimmed" }: { label: string; count: number; color?: string }) {
  return (
    <Group gap={6} wrap="nowrap" justify="center">
      {label}
      {count > 0 && (
        <Text span size="xs" c={color}>
          {count}
        </Text>
      )}
    </Group>
  );
}
