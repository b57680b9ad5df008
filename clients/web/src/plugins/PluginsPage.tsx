// The plugins that were found, what they can do, and the machines and workers that run them.

import { Badge, Card, Center, Group, Loader, Stack, Table, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { request } from "../api/http";
import { useSignatures } from "../api/queries";
import { pluginOf } from "../jobs/Palette";
import { Empty } from "../ui/Empty";
import { Problem, type Told } from "../ui/Problem";

interface Plugin {
  name: string;
  version: string;
  folder?: string;
  installed: boolean;
  error: Told | null;
}

interface Host {
  name: string;
  devices: { name: string; memory_mb: number }[];
  workers: { plugin: string; device: string; pid: number | null; state: string; job: string | null }[];
}

const REFRESH_MS = 3000;

export default function PluginsPage() {
  const plugins = useQuery({ queryKey: ["plugins"], queryFn: () => request<Plugin[]>("GET", "/v1/plugins") });
  const hosts = useQuery({
    queryKey: ["hosts"],
    queryFn: () => request<Host[]>("GET", "/v1/hosts"),
    refetchInterval: REFRESH_MS,
  });
  const { data: signatures = [] } = useSignatures();
  const error = plugins.error ?? hosts.error;
  return (
    <Stack p="md" maw={880} mx="auto" gap="xl">
      {error && <Problem error={error} />}
      <Stack gap="sm">
        <Title order={2} size="h3">
          Plugins
        </Title>
        {!plugins.data && !error && (
          <Center p="md">
            <Loader size="sm" aria-label="Loading" />
          </Center>
        )}
        {plugins.data?.map((plugin) => (
          <Card key={plugin.name} withBorder padding="sm" component="article" aria-label={plugin.name}>
            <Group justify="space-between">
              <Group gap="xs">
                <Text fw={600}>{plugin.name}</Text>
                <Text size="sm" c="dimmed">
                  {plugin.version.split("+")[0]}
                </Text>
              </Group>
              <State plugin={plugin} />
            </Group>
            <Text size="sm" c="dimmed">
              {signatures
                .filter((signature) => pluginOf(signature) === plugin.name)
                .map(({ name }) => name.slice(plugin.name.length + 1))
                .join(", ")}
            </Text>
            {plugin.error && <Problem error={plugin.error} />}
          </Card>
        ))}
        {plugins.data?.length === 0 && (
          <Empty title="No plugins">Drop one into the plugins folder of the home folder.</Empty>
        )}
      </Stack>
      {hosts.data?.map((host) => (
        <Stack key={host.name} gap="sm">
          <Title order={2} size="h3">
            {host.name === "local" ? "This machine" : host.name}
          </Title>
          <Group gap="xs">
            {host.devices.map(({ name, memory_mb: memory }) => (
              <Badge key={name} variant="light" size="lg" tt="none">
                {name}
                {memory > 0 && ` · ${(memory / 1024).toFixed(1)} GiB`}
              </Badge>
            ))}
          </Group>
          {host.workers.length > 0 ? (
            <Table>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>Worker</Table.Th>
                  <Table.Th>Device</Table.Th>
                  <Table.Th>State</Table.Th>
                  <Table.Th>Process</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {host.workers.map((worker) => (
                  <Table.Tr key={`${worker.plugin}@${worker.device}`}>
                    <Table.Td>{worker.plugin}</Table.Td>
                    <Table.Td>{worker.device}</Table.Td>
                    <Table.Td>{worker.job ? <a href={`#/jobs`}>{worker.state}</a> : worker.state}</Table.Td>
                    <Table.Td>{worker.pid}</Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          ) : (
            <Text size="sm" c="dimmed">
              No worker is loaded. One starts with the first job of its plugin.
            </Text>
          )}
        </Stack>
      ))}
    </Stack>
  );
}

function State({ plugin }: { plugin: Plugin }) {
  if (plugin.error) return <Badge color="red">broken</Badge>;
  return plugin.installed ? (
    <Badge color="green" variant="light">
      ready
    </Badge>
  ) : (
    <Badge color="gray" variant="light">
      installs at first use
    </Badge>
  );
}
