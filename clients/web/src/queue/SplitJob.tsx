// A job that was split into several: how many of its parts are done, and those that run now.

import { Card, Group, Progress, Stack, Text } from "@mantine/core";
import { IconX } from "@tabler/icons-react";

import type { LiveJob } from "../api/liveJobs";
import { cancelJob } from "../api/queries";
import { isFinal } from "../api/types";
import { Tool } from "../ui/Tool";
import { told } from "../ui/told";
import { JobCard, promptOf } from "./JobCard";
import { differenceOf } from "./variations";

export function SplitJob({ job, parts }: { job: LiveJob; parts: readonly LiveJob[] }) {
  const done = parts.filter(isFinal).length;
  return (
    <Card
      withBorder
      padding="sm"
      component="article"
      aria-label={`${job.job}, ${done} of ${parts.length} done`}
    >
      <Group justify="space-between" wrap="nowrap" mb={6}>
        <Text size="sm" truncate>
          {promptOf(job) || job.job}
        </Text>
        <Tool label="Cancel" icon={IconX} onClick={told(() => cancelJob(job.id))} />
      </Group>
      <Progress value={(100 * done) / parts.length} aria-label="Progress" />
      <Text size="xs" c="dimmed" mt={4}>
        {done} of {parts.length} done
      </Text>
      <Stack gap="xs" mt="xs">
        {parts
          .filter(({ state }) => state === "running")
          .map((part) => (
            <JobCard
              key={part.id}
              job={part}
              label={differenceOf(part, (id) => (id === job.id ? job : undefined))}
            />
          ))}
      </Stack>
    </Card>
  );
}
