// One job to be filled in and started. What was typed stays, also over a reload of the page.

import { Box, Button, Group, Kbd, Stack, Text, Title } from "@mantine/core";
import { useHotkeys, useLocalStorage } from "@mantine/hooks";
import { IconPlayerPlay } from "@tabler/icons-react";
import { type ReactNode, useMemo } from "react";

import { ApiError } from "../api/http";
import { liveJobs, useLiveJobs } from "../api/liveJobs";
import { useSubmit } from "../api/queries";
import type { Signature } from "../api/types";
import { KnobsForm, type Values } from "../forms/KnobsForm";
import { PortInput, pictureAmong } from "../forms/PortInput";
import { changed, inlined } from "../forms/schema";
import { Problem } from "../ui/Problem";
import { type Draft, EMPTY_DRAFT, draftKey } from "./drafts";

interface Props {
  signature: Signature;
  /** What stands between the inputs and the knobs: on a phone, the results. */
  children?: ReactNode;
}

export function JobForm({ signature, children }: Props) {
  const schema = useMemo(() => inlined(signature.params), [signature]);
  const [draft, setDraft] = useLocalStorage<Draft>({
    key: draftKey(signature.name),
    defaultValue: EMPTY_DRAFT,
    getInitialValueInEffect: false,
  });
  const submit = useSubmit();
  const last = useLiveJobs().jobs.find((job) => job.job === signature.name);
  const problems = submit.error instanceof ApiError ? problemsOf(submit.error) : {};
  const ports = new Set(signature.inputs.map(({ name }) => name));

  const run = () => {
    const given = Object.entries(draft.inputs).filter(
      ([name, value]) => ports.has(name) && value !== undefined,
    );
    const inputs: Values = Object.fromEntries(given);
    for (const port of signature.inputs) {
      if (port.type === "text" && !port.optional) inputs[port.name] ??= "";
    }
    submit.mutate(
      { job: signature.name, inputs, params: changed(draft.params, schema) },
      { onSuccess: (job) => liveJobs.add(job) },
    );
  };
  useHotkeys([["mod+Enter", run]], []);

  return (
    <Stack gap="lg">
      <Box>
        <Title order={2} size="h3">
          {signature.name}
        </Title>
        <Text c="dimmed" size="sm">
          {signature.title}
        </Text>
      </Box>
      {signature.inputs.map((port) => (
        <PortInput
          key={port.name}
          port={port}
          value={draft.inputs[port.name]}
          onChange={(value) => setDraft((now) => ({ ...now, inputs: { ...now.inputs, [port.name]: value } }))}
          problem={problems[port.name]}
          picture={pictureAmong(signature.inputs, draft.inputs)}
        />
      ))}
      <Group justify="space-between">
        <Button
          size="md"
          leftSection={<IconPlayerPlay size={18} />}
          onClick={run}
          loading={submit.isPending}
          rightSection={<Kbd size="xs">Ctrl ↵</Kbd>}
        >
          Run
        </Button>
        <Button
          variant="subtle"
          color="gray"
          size="compact-sm"
          onClick={() => setDraft((now) => ({ ...now, params: {} }))}
        >
          Reset all
        </Button>
      </Group>
      {submit.error && !Object.keys(problems).length && <Problem error={submit.error} />}
      {children}
      <KnobsForm
        schema={schema}
        values={draft.params}
        onChange={(params) => setDraft((now) => ({ ...now, params }))}
        lastValues={last?.params}
        problems={problems}
        canSweep
      />
    </Stack>
  );
}

/** Return what the server says is wrong by knob: its message is `steps: …; hires.scale: …`. */
export function problemsOf({ status, message }: ApiError): Record<string, string> {
  if (status !== 422) return {};
  const found: Record<string, string> = {};
  for (const [, path, text] of message.matchAll(/([a-z_][\w.]*): ([^;]+)/g)) {
    if (path && text) found[path] = text.charAt(0).toUpperCase() + text.slice(1);
  }
  return found;
}
