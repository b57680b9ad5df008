// Where a result can go from here: made again, its knobs in the form, itself into any port that takes it.

import { Button, Group, Menu, Text } from "@mantine/core";
import { IconArrowRight, IconRefresh, IconSchema } from "@tabler/icons-react";
import { useLocation } from "wouter";

import { useSignatures, useSubmit } from "../api/queries";
import type { Port, Signature } from "../api/types";
import { EMPTY_DRAFT, readDraft, writeDraft } from "../jobs/drafts";
import { promptOf } from "../queue/JobCard";
import { tell } from "../ui/told";
import type { Result } from "./results";
import { targetsOf } from "./targets";

export function GoOn({ result: { artifact, job } }: { result: Result }) {
  const { data: signatures = [] } = useSignatures();
  const [, navigate] = useLocation();
  const submit = useSubmit();
  const open = (name: string) => navigate(`/jobs/${name}`);
  const targets = targetsOf(signatures, artifact.type, job.job);
  const runAgain = () =>
    submit.mutate(
      { job: job.job, inputs: job.inputs, params: job.params, cache: false },
      {
        onSuccess: () => open(job.job),
        onError: tell,
      },
    );
  return (
    <Group gap="xs">
      <Menu withinPortal position="bottom-start">
        <Menu.Target>
          <Button size="xs" rightSection={<IconArrowRight size={16} />} disabled={!targets.length}>
            Send to
          </Button>
        </Menu.Target>
        <Menu.Dropdown mah={360} style={{ overflowY: "auto" }}>
          {targets.map(({ signature, port }) => (
            <Menu.Item
              key={`${signature.name}.${port.name}`}
              onClick={() => {
                sendTo(signature, port, artifact.id, promptOf(job));
                open(signature.name);
              }}
            >
              {signature.name}
              <Text span c="dimmed" size="sm">
                {" "}
                {port.name}
              </Text>
            </Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
      <Button
        size="xs"
        variant="default"
        onClick={() => {
          writeDraft(job.job, { inputs: job.inputs, params: job.params });
          open(job.job);
        }}
      >
        Use these knobs
      </Button>
      <Button
        size="xs"
        variant="default"
        leftSection={<IconSchema size={16} />}
        onClick={() => navigate(`/graph/${job.id}`)}
      >
        Its graph
      </Button>
      <Button
        size="xs"
        leftSection={<IconRefresh size={16} />}
        variant="default"
        loading={submit.isPending}
        onClick={runAgain}
      >
        Run again
      </Button>
    </Group>
  );
}

/** Fill a result into a port; a text port beside it that is still empty gets the prompt that made the result. */
function sendTo(signature: Signature, port: Port, artifact: string, prompt: string): void {
  const draft = readDraft(signature.name);
  const inputs = { ...draft.inputs, [port.name]: port.list ? [{ artifact }] : { artifact } };
  const text = signature.inputs.find(({ type }) => type === "text");
  if (text && !inputs[text.name] && prompt) inputs[text.name] = prompt;
  writeDraft(signature.name, { ...EMPTY_DRAFT, ...draft, inputs });
}
