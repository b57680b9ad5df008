// Everything that waits, runs or has just ended, in one list that stays in step with the server.

import { Box, Button, Group, SegmentedControl, Stack, Title } from "@mantine/core";
import { useState } from "react";

import { request } from "../api/http";
import { useLiveJobs } from "../api/liveJobs";
import { isFinal } from "../api/types";
import { Empty } from "../ui/Empty";
import { JobCard } from "./JobCard";

const SHOWN = 100;

export default function QueuePage() {
  const { jobs } = useLiveJobs();
  const [which, setWhich] = useState("unfinished");
  const unfinished = jobs.filter((job) => !isFinal(job));
  const shown =
    which === "unfinished" ? unfinished : jobs.filter((job) => which === "all" || job.state === which);
  return (
    <Box p="md" maw={880} mx="auto">
      <Group justify="space-between" mb="md">
        <Title order={2} size="h3">
          Queue
        </Title>
        <Group gap="xs">
          <SegmentedControl
            size="xs"
            value={which}
            onChange={setWhich}
            data={[
              { value: "unfinished", label: "Unfinished" },
              { value: "failed", label: "Failed" },
              { value: "all", label: "All" },
            ]}
          />
          <Button
            size="xs"
            variant="default"
            disabled={!unfinished.length}
            onClick={() => void request("POST", "/v1/jobs/cancel", {})}
          >
            Cancel all
          </Button>
        </Group>
      </Group>
      {shown.length ? (
        <Stack gap="sm">
          {shown.slice(0, SHOWN).map((job) => (
            <JobCard key={job.id} job={job} />
          ))}
        </Stack>
      ) : (
        <Empty title={which === "failed" ? "Nothing failed" : "Nothing to do"}>
          Jobs appear here when they are started.
        </Empty>
      )}
    </Box>
  );
}
