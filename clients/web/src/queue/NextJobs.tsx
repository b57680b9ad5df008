// The jobs that come next, as rows that can be put into another order: dragged, or moved with buttons.

import { Box, Group, Paper, Text } from "@mantine/core";
import { IconArrowBarToUp, IconArrowDown, IconArrowUp, IconGripVertical, IconX } from "@tabler/icons-react";
import { useState } from "react";

import { cancelJob, setPriorities } from "../api/queries";
import { More } from "../ui/More";
import { Tool } from "../ui/Tool";
import { tell, told } from "../ui/told";
import type { Entry } from "./groups";
import { promptOf } from "./JobCard";
import { moved, prioritiesFor } from "./order";

const SHOWN = 200;

export function NextJobs({ entries }: { entries: readonly Entry[] }) {
  const [dragged, setDragged] = useState<string | null>(null);
  const [over, setOver] = useState<number | null>(null);

  const move = (from: number, to: number) => {
    if (from < 0 || from === to) return;
    const priorities = prioritiesFor(moved(entries, from, to).map(({ job }) => job));
    if (!Object.keys(priorities).length) return;
    setPriorities(priorities).catch(tell);
  };
  const drop = (to: number) => {
    move(
      entries.findIndex(({ job }) => job.id === dragged),
      to,
    );
    setDragged(null);
    setOver(null);
  };

  return (
    <>
      <Paper withBorder component="ol" m={0} p={0} style={{ listStyle: "none", overflow: "hidden" }}>
        {entries.slice(0, SHOWN).map(({ job, parts }, at) => {
          const name = promptOf(job) || job.job;
          return (
            <Box
              key={job.id}
              component="li"
              aria-label={name}
              draggable
              onDragStart={(event) => {
                event.dataTransfer.effectAllowed = "move";
                setDragged(job.id);
              }}
              onDragOver={(event) => {
                if (dragged === null) return;
                event.preventDefault();
                setOver(at);
              }}
              onDragEnd={() => {
                setDragged(null);
                setOver(null);
              }}
              onDrop={(event) => {
                event.preventDefault();
                drop(at);
              }}
              px="xs"
              py={6}
              style={{
                borderTop: at ? "1px solid var(--mantine-color-default-border)" : undefined,
                background: over === at ? "var(--mantine-primary-color-light)" : undefined,
                opacity: dragged === job.id && over !== null ? 0.5 : 1,
              }}
            >
              <Group gap="xs" wrap="nowrap">
                <IconGripVertical
                  size={16}
                  aria-hidden
                  style={{ cursor: "grab", flexShrink: 0 }}
                  color="var(--mantine-color-dimmed)"
                />
                <Box style={{ minWidth: 0 }} flex={1}>
                  <Text size="sm" truncate>
                    {name}
                  </Text>
                  <Text size="xs" c="dimmed" truncate>
                    {[job.job, parts.length > 0 && `${parts.length} runs`, job.progress?.message]
                      .filter(Boolean)
                      .join(" · ")}
                  </Text>
                </Box>
                <Group gap={0} wrap="nowrap">
                  <Tool label="Run next" icon={IconArrowBarToUp} disabled={!at} onClick={() => move(at, 0)} />
                  <Tool label="Earlier" icon={IconArrowUp} disabled={!at} onClick={() => move(at, at - 1)} />
                  <Tool
                    label="Later"
                    icon={IconArrowDown}
                    disabled={at === entries.length - 1}
                    onClick={() => move(at, at + 1)}
                  />
                  <Tool label="Cancel" icon={IconX} onClick={told(() => cancelJob(job.id))} />
                </Group>
              </Group>
            </Box>
          );
        })}
      </Paper>
      {entries.length > SHOWN && <More>{`And ${entries.length - SHOWN} more.`}</More>}
    </>
  );
}
