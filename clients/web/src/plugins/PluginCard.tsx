// One plugin: what it can do, how it is doing, how much room it takes, and its workers.

import { Badge, Card, Group, Spoiler, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconFileText, IconRotateClockwise } from "@tabler/icons-react";
import { useQueryClient } from "@tanstack/react-query";
import { Link } from "wouter";

import { LogWindow } from "../ui/LogWindow";
import { Problem } from "../ui/Problem";
import { Tool } from "../ui/Tool";
import { told } from "../ui/told";
import {
  type Plugin,
  type PluginState,
  type Worker,
  fetchHosts,
  restartPlugin,
  sizeOf,
  stateOf,
} from "./server";

/** Three rows; more are folded away. */
const JOBS_HEIGHT = 76;

const COLORS: Record<PluginState, string> = {
  broken: "red",
  "being set up": "blue",
  working: "violet",
  loaded: "green",
  ready: "green",
  "installs at first use": "gray",
};

export function PluginCard({ plugin, workers }: { plugin: Plugin; workers: readonly Worker[] }) {
  const state = stateOf(plugin, workers);
  const facts = [
    plugin.bundled ? "came with stable-core" : plugin.source,
    plugin.environment_bytes ? `environment of ${sizeOf(plugin.environment_bytes)}` : "",
  ];
  return (
    <Card withBorder padding="sm" component="article" aria-label={plugin.name}>
      <Group justify="space-between" wrap="nowrap">
        <Group gap="xs" wrap="nowrap" style={{ minWidth: 0 }}>
          <Text fw={600} truncate>
            {plugin.name}
          </Text>
          <Text size="sm" c="dimmed" title={plugin.version}>
            {plugin.version.split("+")[0]}
          </Text>
        </Group>
        <Badge color={COLORS[state]} variant="light" style={{ flexShrink: 0 }}>
          {state}
        </Badge>
      </Group>
      <Text size="xs" c="dimmed" style={{ overflowWrap: "anywhere" }}>
        {facts.filter(Boolean).join(" · ")}
      </Text>
      {plugin.signatures.length > 0 && (
        <Spoiler maxHeight={JOBS_HEIGHT} showLabel="All jobs" hideLabel="Fewer" mt={8}>
          <Group gap={6}>
            {plugin.signatures.map((name) => (
              <Badge
                key={name}
                component={Link}
                href={`/jobs/${name}`}
                variant="default"
                tt="none"
                fw={500}
                style={{ cursor: "pointer" }}
              >
                {name.slice(plugin.name.length + 1)}
              </Badge>
            ))}
          </Group>
        </Spoiler>
      )}
      {plugin.error && <Problem error={plugin.error} />}
      {workers.map((worker) => (
        <WorkerRow key={`${worker.plugin} ${worker.device}`} plugin={plugin.name} worker={worker} />
      ))}
    </Card>
  );
}

function WorkerRow({ plugin, worker }: { plugin: string; worker: Worker }) {
  const queries = useQueryClient();
  const [isLogOpen, log] = useDisclosure();
  const facts = [
    worker.plugin !== plugin && "for light jobs",
    `on ${worker.device}`,
    worker.memory_mb > 0 && `plans with ${sizeOf(worker.memory_mb * 2 ** 20)}`,
    `process ${worker.pid}`,
  ];
  const readLog = async () => {
    const all = (await fetchHosts()).flatMap(({ workers }) => workers);
    return all.find(({ pid }) => pid === worker.pid)?.log ?? "";
  };
  const restart = told(async () => queries.setQueryData(["hosts"], await restartPlugin(plugin)));
  return (
    <Group
      gap="xs"
      wrap="nowrap"
      mt="xs"
      pt={6}
      justify="space-between"
      role="group"
      aria-label={`Worker on ${worker.device}`}
      style={{ borderTop: "1px solid var(--mantine-color-default-border)" }}
    >
      <Group gap={6} style={{ minWidth: 0 }}>
        <Text size="sm" fw={500}>
          {worker.state === "busy" ? "Working" : "Loaded"}
        </Text>
        <Text size="sm" c="dimmed">
          {facts.filter(Boolean).join(" · ")}
        </Text>
      </Group>
      <Group gap={2} wrap="nowrap">
        <Tool label="What it printed" icon={IconFileText} onClick={log.open} />
        <Tool label="Restart" icon={IconRotateClockwise} onClick={restart} />
      </Group>
      {isLogOpen && (
        <LogWindow
          title={`The worker of ${worker.plugin}`}
          name={`worker ${worker.pid}`}
          read={readLog}
          onClose={log.close}
        />
      )}
    </Group>
  );
}
