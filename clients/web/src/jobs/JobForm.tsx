// One job to be filled in and started. What was typed stays, also over a reload of the page.

import { Box, Button, Group, Kbd, Stack, Text, Title } from "@mantine/core";
import { useHotkeys, useLocalStorage } from "@mantine/hooks";
import { IconPlayerPlay } from "@tabler/icons-react";
import { type ReactNode, useEffect, useMemo, useRef } from "react";

import { ApiError } from "../api/http";
import { useLastParams } from "../api/liveJobs";
import { useSubmit } from "../api/queries";
import type { Signature } from "../api/types";
import { KnobsForm } from "../forms/KnobsForm";
import { PortInput, pictureAmong } from "../forms/PortInput";
import { Beside } from "../forms/Beside";
import { problemsOf } from "../forms/problems";
import { type Values, changed, inlined } from "../forms/schema";
import { usePastedFiles } from "../forms/usePastedFiles";
import { useProblems } from "../forms/useProblems";
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
  const lastParams = useLastParams(signature.name);
  const typed = useProblems(signature.name, changed(draft.params, schema));
  const told = submit.error instanceof ApiError ? problemsOf(submit.error) : {};
  const problems = { ...inputsOnly(told, signature), ...typed };
  const ports = new Set(signature.inputs.map(({ name }) => name));

  const setInput = (port: string, value: unknown) => {
    submit.reset();
    setDraft((now) => ({ ...now, inputs: { ...now.inputs, [port]: value } }));
  };
  const run = () => {
    const given = Object.entries(draft.inputs).filter(
      ([name, value]) => ports.has(name) && value !== undefined,
    );
    const inputs: Values = Object.fromEntries(given);
    for (const port of signature.inputs) {
      if (port.type === "text" && !port.optional) inputs[port.name] ??= "";
    }
    submit.mutate({ job: signature.name, inputs, params: changed(draft.params, schema) });
  };
  useHotkeys([["mod+Enter", run]], []);
  const form = useRef<HTMLDivElement>(null);
  // Run is always in view; what keeps it from running may not be.
  useEffect(() => {
    if (submit.error) form.current?.querySelector("[role=alert]")?.scrollIntoView({ block: "nearest" });
  }, [submit.error]);
  usePastedFiles(signature.inputs, draft.inputs, setInput);

  return (
    <Beside value={draft.params}>
      <Stack gap="lg" ref={form}>
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
            onChange={(value) => setInput(port.name, value)}
            problem={problems[port.name]}
            picture={pictureAmong(signature.inputs, draft.inputs)}
          />
        ))}
        <Group justify="space-between" className="run-row" role="group" aria-label="Run">
          <Button
            size="md"
            leftSection={<IconPlayerPlay size={18} />}
            onClick={run}
            loading={submit.isPending}
            rightSection={
              <Kbd size="xs" className="for-keyboards">
                Ctrl ↵
              </Kbd>
            }
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
        {submit.error && !Object.keys(told).length && <Problem error={submit.error} />}
        {children}
        <KnobsForm
          schema={schema}
          values={draft.params}
          onChange={(params) => setDraft((now) => ({ ...now, params }))}
          lastValues={lastParams}
          problems={problems}
          canSweep
        />
      </Stack>
    </Beside>
  );
}

/** Of what was wrong when the job was started, only what is about inputs: the knobs are checked as they are typed. */
function inputsOnly(told: Record<string, string>, { inputs }: Signature): Record<string, string> {
  return Object.fromEntries(
    Object.entries(told).filter(([name]) => inputs.some((port) => port.name === name)),
  );
}
