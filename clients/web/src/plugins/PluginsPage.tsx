// The plugins that were found with their workers, the machines that run them, and what the server says of itself.

import {
  Box,
  Button,
  Card,
  Center,
  Code,
  Group,
  Loader,
  Paper,
  Progress,
  Stack,
  Text,
  Title,
} from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { requestText } from "../api/http";
import { Empty } from "../ui/Empty";
import { LogText } from "../ui/LogWindow";
import { Problem } from "../ui/Problem";
import { PluginCard } from "./PluginCard";
import { type Host, isOf, sizeOf, useHosts, usePlugins } from "./server";

const LOG_REFRESH_MS = 5000;
const LOG_HEIGHT = 320;

export default function PluginsPage() {
  const plugins = usePlugins();
  const hosts = useHosts();
  const workers = hosts.data?.flatMap((host) => host.workers) ?? [];
  const error = plugins.error ?? hosts.error;
  return (
    <Stack p="md" maw={880} mx="auto" gap="xl">
      {error && <Problem error={error} />}
      <Stack gap="sm" component="section" aria-label="Plugins">
        <Title order={2} size="h3">
          Plugins
        </Title>
        {!plugins.data && !error && (
          <Center mih={400}>
            <Loader size="sm" aria-label="Loading" />
          </Center>
        )}
        {plugins.data?.map((plugin) => (
          <PluginCard
            key={plugin.name}
            plugin={plugin}
            workers={workers.filter((worker) => isOf(worker, plugin))}
          />
        ))}
        {plugins.data?.length === 0 && (
          <Empty title="No plugins">Drop one into the plugins folder of the home folder.</Empty>
        )}
        {plugins.data && <Installing />}
      </Stack>
      {hosts.data?.map((host) => (
        <Machine key={host.name} host={host} />
      ))}
      {hosts.data && <ServerLog />}
    </Stack>
  );
}

/** The place of what comes later: to install and update from here. */
function Installing() {
  return (
    <Paper p="md" style={{ border: "1.5px dashed var(--mantine-color-default-border)" }}>
      <Text size="sm" c="dimmed">
        To add a plugin, drop its folder or file into <Code>plugins/</Code> of the home folder, or run{" "}
        <Code>stable-core plugin install</Code>. It appears here by itself.
      </Text>
    </Paper>
  );
}

function Machine({ host }: { host: Host }) {
  const name = host.name === "local" ? "This machine" : host.name;
  return (
    <Stack gap="sm" component="section" aria-label={name}>
      <Title order={2} size="h3">
        {name}
      </Title>
      {host.devices.map((device) => {
        const here = host.workers.filter((worker) => worker.device === device.name);
        const used = here.reduce((sum, worker) => sum + worker.memory_mb, 0);
        return (
          <Card key={device.name} withBorder padding="sm">
            <Group justify="space-between" gap="xs">
              <Text fw={600}>{device.name}</Text>
              <Text size="sm" c="dimmed">
                {memoryOf(used, device.memory_mb)}
              </Text>
            </Group>
            {device.memory_mb > 0 && used > 0 && (
              <Progress
                value={(100 * used) / device.memory_mb}
                mt={6}
                aria-label={`Memory of ${device.name}`}
              />
            )}
            <Text size="sm" c="dimmed" mt={6}>
              {here.length
                ? `Loaded: ${here.map((worker) => worker.plugin).join(", ")}`
                : "No worker is loaded. One starts with the first job of its plugin."}
            </Text>
          </Card>
        );
      })}
      {!host.devices.length && (
        <Text size="sm" c="dimmed">
          Its devices are being looked for.
        </Text>
      )}
    </Stack>
  );
}

/** Say how much of a device's memory the workers there plan with; many do not say. */
function memoryOf(used: number, all: number): string {
  if (!all) return "Its memory is not known";
  const total = sizeOf(all * 2 ** 20);
  return used ? `${sizeOf(used * 2 ** 20)} of ${total} planned for` : `${total} of memory`;
}

function ServerLog() {
  const { data, error, refetch, isFetching } = useQuery({
    queryKey: ["/v1/log"],
    queryFn: () => requestText("/v1/log"),
    refetchInterval: LOG_REFRESH_MS,
  });
  return (
    <Stack gap="sm" component="section" aria-label="Server log">
      <Group justify="space-between">
        <Title order={2} size="h3">
          Server log
        </Title>
        <Button size="xs" variant="default" loading={isFetching && !data} onClick={() => void refetch()}>
          Read again
        </Button>
      </Group>
      {error ? (
        <Problem error={error} />
      ) : (
        <Box mih={LOG_HEIGHT}>{data !== undefined && <LogText text={data} height={LOG_HEIGHT} />}</Box>
      )}
    </Stack>
  );
}
