// What the last runs of one job made, the newest first, while they are running too.

import { Stack, Text } from "@mantine/core";
import { useEffect } from "react";

import { request } from "../api/http";
import { liveJobs, useLiveJobs } from "../api/liveJobs";
import type { Job } from "../api/types";
import { JobCard } from "../queue/JobCard";
import { differenceOf } from "../queue/variations";
import { Empty } from "../ui/Empty";

interface Props {
  name: string;
  /** How many runs there is place for. */
  shown: number;
}

export function Results({ name, shown }: Props) {
  const { jobs } = useLiveJobs();
  useEffect(() => {
    // The newest jobs of all kinds, which the page has anyway, may be others.
    const runs = request<Job[]>("GET", `/v1/jobs?job=${encodeURIComponent(name)}&limit=${shown}`);
    liveJobs.take(runs).catch(() => undefined);
  }, [name, shown]);
  const runs = jobs.filter((job) => job.job === name && (job.parent === null || job.state === "running"));
  if (!runs.length) {
    return <Empty title="Nothing yet">Fill in the form and press Run. What is made appears here.</Empty>;
  }
  return (
    <Stack gap="md">
      {runs.slice(0, shown).map((job) => (
        <JobCard
          key={job.id}
          job={job}
          label={differenceOf(job, (id) => jobs.find((other) => other.id === id))}
        />
      ))}
      {runs.length > shown && (
        <Text size="sm" c="dimmed" ta="center">
          Older results are in the gallery.
        </Text>
      )}
    </Stack>
  );
}
