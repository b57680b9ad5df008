// One result in full: zoom and pan, what made it, and where it can go from here.

import {
  ActionIcon,
  Box,
  Button,
  CopyButton,
  Group,
  Menu,
  Modal,
  ScrollArea,
  Stack,
  Table,
  Text,
  Tooltip,
} from "@mantine/core";
import { useHotkeys, useMediaQuery } from "@mantine/hooks";
import {
  IconArrowRight,
  IconChevronLeft,
  IconChevronRight,
  IconCopy,
  IconDownload,
  IconHeart,
  IconHeartFilled,
  IconRefresh,
  IconX,
} from "@tabler/icons-react";
import { useLocation } from "wouter";

import { liveJobs } from "../api/liveJobs";
import { artifactUrl, useSignatures, useSubmit } from "../api/queries";
import type { Port, Signature } from "../api/types";
import { isRecord } from "../forms/schema";
import { EMPTY_DRAFT, readDraft, writeDraft } from "../jobs/drafts";
import { Result as Shown, promptOf } from "../queue/JobCard";
import type { Result } from "./results";
import { ZoomedImage } from "./ZoomedImage";

interface Props {
  results: readonly Result[];
  at: number;
  isLiked: boolean;
  onLike: (id: string) => void;
  onMove: (at: number) => void;
  onClose: () => void;
}

export function Viewer({ results, at, isLiked, onLike, onMove, onClose }: Props) {
  const isNarrow = useMediaQuery("(max-width: 62em)", window.innerWidth < 992);
  useHotkeys([
    ["ArrowLeft", () => onMove(at - 1)],
    ["ArrowRight", () => onMove(at + 1)],
  ]);
  const result = results[at];
  if (!result) return null;
  const { artifact, job } = result;
  const isPicture = artifact.type === "image" || artifact.type === "mask";
  return (
    <Modal
      opened
      onClose={onClose}
      fullScreen
      withCloseButton={false}
      padding={0}
      title={null}
      aria-label={promptOf(job) || job.job}
    >
      <Box
        style={{
          display: "grid",
          height: "100dvh",
          gridTemplate: isNarrow ? "1fr auto / 1fr" : "1fr / 1fr 360px",
        }}
      >
        <Box pos="relative" style={{ minHeight: 0, minWidth: 0 }} className="checkered">
          {isPicture ? (
            <ZoomedImage key={result.key} src={artifactUrl(artifact.id)} alt={promptOf(job)} />
          ) : (
            <Box p="xl">
              <Shown artifact={artifact} alt={promptOf(job)} />
            </Box>
          )}
          <Step label="Previous" side="left" disabled={at === 0} onClick={() => onMove(at - 1)} />
          <Step
            label="Next"
            side="right"
            disabled={at === results.length - 1}
            onClick={() => onMove(at + 1)}
          />
        </Box>
        <ScrollArea p="md" mah={isNarrow ? "45dvh" : undefined}>
          <Stack gap="md">
            <Group justify="space-between">
              <Group gap={4}>
                <ActionIcon
                  variant="subtle"
                  color={isLiked ? "red" : "gray"}
                  aria-label={isLiked ? "No favourite" : "Favourite"}
                  onClick={() => onLike(artifact.id)}
                >
                  {isLiked ? <IconHeartFilled size={18} /> : <IconHeart size={18} />}
                </ActionIcon>
                <Tooltip label="Download">
                  <ActionIcon
                    variant="subtle"
                    color="gray"
                    aria-label="Download"
                    component="a"
                    href={artifactUrl(artifact.id)}
                    download={`${job.job}-${artifact.id.slice(0, 8)}.${artifact.media_type.split("/")[1]}`}
                  >
                    <IconDownload size={18} />
                  </ActionIcon>
                </Tooltip>
              </Group>
              <ActionIcon variant="subtle" color="gray" aria-label="Close" onClick={onClose}>
                <IconX size={18} />
              </ActionIcon>
            </Group>
            <GoOn result={result} />
            <Facts result={result} />
          </Stack>
        </ScrollArea>
      </Box>
    </Modal>
  );
}

interface StepProps {
  label: string;
  side: "left" | "right";
  disabled: boolean;
  onClick: () => void;
}

function Step({ label, side, disabled, onClick }: StepProps) {
  if (disabled) return null;
  return (
    <ActionIcon
      pos="absolute"
      top="50%"
      {...{ [side]: 12 }}
      variant="default"
      radius="xl"
      size="lg"
      aria-label={label}
      onClick={onClick}
    >
      {side === "left" ? <IconChevronLeft size={20} /> : <IconChevronRight size={20} />}
    </ActionIcon>
  );
}

/** What can be done with a result: run again, take its knobs, send it to a port of its type. */
function GoOn({ result: { artifact, job } }: { result: Result }) {
  const { data: signatures = [] } = useSignatures();
  const [, navigate] = useLocation();
  const submit = useSubmit();
  const open = (name: string) => navigate(`/jobs/${name}`);
  const targets = signatures.flatMap((signature) =>
    signature.inputs.filter((port) => fits(artifact.type, port)).map((port) => ({ signature, port })),
  );
  return (
    <Group gap="xs">
      <Button
        size="xs"
        leftSection={<IconRefresh size={16} />}
        variant="default"
        loading={submit.isPending}
        onClick={() =>
          submit.mutate(
            { job: job.job, inputs: job.inputs, params: job.params, cache: false },
            {
              onSuccess: (again) => {
                liveJobs.add(again);
                open(job.job);
              },
            },
          )
        }
      >
        Run again
      </Button>
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
      <Menu withinPortal>
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
    </Group>
  );
}

const fits = (type: string, port: Port) =>
  port.type === type ||
  (type === "image" && port.type === "mask") ||
  (type === "mask" && port.type === "image");

/** Fill a result into a port; a text port beside it that is still empty gets the prompt that made the result. */
function sendTo(signature: Signature, port: Port, artifact: string, prompt: string): void {
  const draft = readDraft(signature.name);
  const inputs = { ...draft.inputs, [port.name]: port.list ? [{ artifact }] : { artifact } };
  const text = signature.inputs.find(({ type }) => type === "text");
  if (text && !inputs[text.name] && prompt) inputs[text.name] = prompt;
  writeDraft(signature.name, { ...EMPTY_DRAFT, ...draft, inputs });
}

function Facts({ result: { artifact, job } }: { result: Result }) {
  const facts: [string, unknown][] = [
    ...Object.entries(job.inputs).filter(([, value]) => typeof value === "string"),
    ...flat(job.params),
    ["Size", artifact.width ? `${artifact.width} × ${artifact.height}` : undefined],
    ["Job", job.job],
    ["Made", new Date(job.created * 1000).toLocaleString()],
    ["Saved as", artifact.path],
  ];
  return (
    <Table layout="fixed" verticalSpacing={4}>
      <Table.Tbody>
        {facts
          .filter(([, value]) => value !== undefined && value !== "" && value !== null)
          .map(([name, value]) => (
            <Table.Tr key={name}>
              <Table.Td w={120} c="dimmed" style={{ verticalAlign: "top", overflowWrap: "anywhere" }}>
                <Text size="xs">{name.replaceAll("_", " ")}</Text>
              </Table.Td>
              <Table.Td style={{ overflowWrap: "anywhere" }}>
                <Group gap={4} wrap="nowrap" justify="space-between" align="start">
                  <Text size="sm">{typeof value === "string" ? value : JSON.stringify(value)}</Text>
                  <CopyButton value={typeof value === "string" ? value : JSON.stringify(value)}>
                    {({ copied, copy }) => (
                      <ActionIcon
                        size="xs"
                        variant="subtle"
                        color={copied ? "green" : "gray"}
                        aria-label={`Copy ${name}`}
                        onClick={copy}
                      >
                        <IconCopy size={13} />
                      </ActionIcon>
                    )}
                  </CopyButton>
                </Group>
              </Table.Td>
            </Table.Tr>
          ))}
      </Table.Tbody>
    </Table>
  );
}

/** Return nested knobs as `hires.scale`. */
function flat(values: Record<string, unknown>, prefix = ""): [string, unknown][] {
  return Object.entries(values).flatMap(([name, value]): [string, unknown][] =>
    isRecord(value) ? flat(value, `${prefix}${name}.`) : [[`${prefix}${name}`, value]],
  );
}
