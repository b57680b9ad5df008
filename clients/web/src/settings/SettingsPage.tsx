// The settings of the core and of each plugin, drawn from their schemas. A change is saved with its button.

import { Box, Button, Card, Center, Group, Loader, Stack, Text, Title } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQueries, useQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo, useState } from "react";

import { ApiError, request } from "../api/http";
import type { KnobSchema } from "../api/types";
import { KnobsForm } from "../forms/KnobsForm";
import { type Values, inlined } from "../forms/schema";
import { problemsOf } from "../forms/problems";
import { Problem } from "../ui/Problem";

interface Settings {
  schema: KnobSchema;
  values: Values;
}

interface Plugin {
  name: string;
  error: unknown;
}

export default function SettingsPage() {
  const { data: plugins = [] } = useQuery({
    queryKey: ["plugins"],
    queryFn: () => request<Plugin[]>("GET", "/v1/plugins"),
  });
  const cards = [
    { title: "Server", path: "/v1/settings" },
    ...plugins
      .filter(({ error }) => !error)
      .map(({ name }) => ({ title: name, path: `/v1/plugins/${name}/settings` })),
  ];
  const answers = useQueries({
    queries: cards.map(({ path }) => ({
      queryKey: [path],
      queryFn: () => request<Settings>("GET", path),
    })),
  });
  // One below the other, in the order they have: what comes late must not push away what is there.
  const loading = answers.findIndex(({ isPending }) => isPending);
  const shown = loading < 0 ? cards : cards.slice(0, loading);
  return (
    <Stack p="md" maw={760} mx="auto" gap="lg">
      <Title order={2} size="h3">
        Settings
      </Title>
      {shown.map((card, at) => (
        <SettingsCard key={card.path} {...card} settings={answers[at]?.data} error={answers[at]?.error} />
      ))}
      {loading >= 0 && (
        <Center p="md">
          <Loader size="sm" aria-label="Loading" />
        </Center>
      )}
    </Stack>
  );
}

interface CardProps {
  title: string;
  path: string;
  settings: Settings | undefined;
  error: Error | null | undefined;
}

function SettingsCard({ title, path, settings, error }: CardProps) {
  if (error) return <Problem error={error} />;
  if (!settings || !Object.keys(settings.schema.properties ?? {}).length) return null;
  return <SettingsForm title={title} path={path} settings={settings} />;
}

function SettingsForm({ title, path, settings }: { title: string; path: string; settings: Settings }) {
  const schema = useMemo(() => inlined(settings.schema), [settings.schema]);
  const [edited, setEdited] = useState<Values>({});
  const queries = useQueryClient();
  const save = useMutation({
    mutationFn: () => request<Settings>("PUT", path, edited),
    onSuccess: () => {
      setEdited({});
      void queries.invalidateQueries({ queryKey: [path] });
      notifications.show({ color: "green", message: "Saved" });
    },
  });
  const problems = save.error instanceof ApiError ? problemsOf(save.error) : {};
  const onChange = (values: Values) => {
    const differs = ([name, value]: [string, unknown]) =>
      value !== undefined && JSON.stringify(value) !== JSON.stringify(settings.values[name]);
    setEdited(Object.fromEntries(Object.entries(values).filter(differs)));
  };
  return (
    <Card withBorder component="section" aria-label={title}>
      <Text fw={600} mb="sm">
        {title}
      </Text>
      <KnobsForm
        schema={schema}
        values={{ ...settings.values, ...edited }}
        onChange={onChange}
        problems={problems}
      />
      {save.error && !Object.keys(problems).length && (
        <Box mt="sm">
          <Problem error={save.error} />
        </Box>
      )}
      <Group mt="md">
        <Button disabled={!Object.keys(edited).length} loading={save.isPending} onClick={() => save.mutate()}>
          Save
        </Button>
        {Object.keys(edited).length > 0 && (
          <Button variant="subtle" color="gray" onClick={() => setEdited({})}>
            Discard
          </Button>
        )}
      </Group>
    </Card>
  );
}
