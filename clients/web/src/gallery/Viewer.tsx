// One result in full: zoom and pan, a comparison with another one, what made it, and where it can go from here.

import { ActionIcon, Box, Group, Menu, Modal, ScrollArea, Stack } from "@mantine/core";
import { useHotkeys, useMediaQuery } from "@mantine/hooks";
import {
  IconArrowsLeftRight,
  IconChevronLeft,
  IconChevronRight,
  IconDownload,
  IconHeart,
  IconHeartFilled,
  IconTrash,
  IconX,
} from "@tabler/icons-react";

import { artifactUrl } from "../api/queries";
import { isRecord } from "../forms/schema";
import { Result as Shown } from "../queue/JobCard";
import { Tool } from "../ui/Tool";
import { Facts } from "./Facts";
import { GoOn } from "./GoOn";
import type { Result } from "./results";
import type { Favourites } from "./useFavourites";
import { ZoomedImage } from "./ZoomedImage";

interface Props {
  results: readonly Result[];
  at: number;
  /** The artifact that it is compared with, or nothing. */
  compared: string;
  favourites: Favourites;
  onDelete: (result: Result) => void;
  onCompare: (artifact: string) => void;
  onMove: (at: number) => void;
  onClose: () => void;
}

const isPicture = ({ artifact }: Result) => artifact.type === "image" || artifact.type === "mask";

export function Viewer({ results, at, compared, favourites, onDelete, onCompare, onMove, onClose }: Props) {
  const isNarrow = useMediaQuery("(max-width: 62em)", window.innerWidth < 992);
  const result = results[at];
  useHotkeys([
    ["ArrowLeft", () => onMove(at - 1)],
    ["ArrowRight", () => onMove(at + 1)],
    ["f", () => result && favourites.toggle(result)],
    ["Delete", () => result && onDelete(result)],
  ]);
  if (!result) return null;
  const { artifact, job } = result;
  const isLiked = favourites.has(artifact.id);
  return (
    <Modal
      opened
      onClose={onClose}
      fullScreen
      withCloseButton={false}
      padding={0}
      title={result.name}
      styles={{ header: { display: "none" } }}
      transitionProps={{ duration: 0 }}
    >
      <Box
        style={{
          display: "grid",
          height: "100dvh",
          gridTemplate: isNarrow ? "1fr 45dvh / 100%" : "1fr / 1fr 360px",
        }}
      >
        <Box pos="relative" style={{ minHeight: 0, minWidth: 0 }} className="checkered">
          {isPicture(result) ? (
            <ZoomedImage
              key={`${result.key} ${compared}`}
              src={artifactUrl(artifact.id)}
              alt={result.name}
              other={compared ? artifactUrl(compared) : undefined}
              onSwipe={(step) => onMove(at + step)}
            />
          ) : (
            <Box p="xl">
              <Shown artifact={artifact} alt={result.name} />
            </Box>
          )}
          {result.label && <span className="picture-label">{result.label}</span>}
          <Step label="Previous" side="left" disabled={at === 0} onClick={() => onMove(at - 1)} />
          <Step
            label="Next"
            side="right"
            disabled={at === results.length - 1}
            onClick={() => onMove(at + 1)}
          />
        </Box>
        <ScrollArea
          type="auto"
          style={{
            borderLeft: isNarrow ? undefined : "1px solid var(--mantine-color-default-border)",
            borderTop: isNarrow ? "1px solid var(--mantine-color-default-border)" : undefined,
          }}
        >
          <Stack gap="md" p="md">
            <Group justify="space-between" wrap="nowrap">
              <Group gap={4} wrap="nowrap">
                <ActionIcon
                  variant="subtle"
                  color={isLiked ? "red" : "gray"}
                  aria-label={isLiked ? "No favourite" : "Favourite"}
                  onClick={() => favourites.toggle(result)}
                >
                  {isLiked ? <IconHeartFilled size={18} /> : <IconHeart size={18} />}
                </ActionIcon>
                {isPicture(result) && (
                  <Compare results={results} at={at} compared={compared} onCompare={onCompare} />
                )}
                <ActionIcon
                  variant="subtle"
                  color="gray"
                  aria-label="Download"
                  title="Download"
                  component="a"
                  href={artifactUrl(artifact.id)}
                  download={`${job.job}-${artifact.id.slice(0, 8)}.${artifact.media_type.split("/")[1]}`}
                >
                  <IconDownload size={18} />
                </ActionIcon>
                <Tool label="Delete" icon={IconTrash} onClick={() => onDelete(result)} />
              </Group>
              <Tool label="Close" icon={IconX} onClick={onClose} />
            </Group>
            <GoOn result={result} />
            <Facts result={result} />
          </Stack>
        </ScrollArea>
      </Box>
    </Modal>
  );
}

/** Choose what the picture is laid over: a picture it was made from, or one beside it. */
function Compare({
  results,
  at,
  compared,
  onCompare,
}: Pick<Props, "results" | "at" | "compared" | "onCompare">) {
  const others: [string, string][] = [];
  for (const [port, artifact] of picturesIn(results[at])) others.push([`Its ${port}`, artifact]);
  const beside: [string, Result | undefined][] = [
    ["The one before", results[at - 1]],
    ["The one after", results[at + 1]],
  ];
  for (const [label, result] of beside) {
    if (result && isPicture(result)) others.push([label, result.artifact.id]);
  }
  return (
    <Menu withinPortal>
      <Menu.Target>
        <ActionIcon
          variant={compared ? "light" : "subtle"}
          color={compared ? "violet" : "gray"}
          aria-label="Compare"
          title="Compare"
          disabled={!others.length && !compared}
        >
          <IconArrowsLeftRight size={18} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>Compare with</Menu.Label>
        {others.map(([label, artifact]) => (
          <Menu.Item key={label} onClick={() => onCompare(artifact)}>
            {label}
          </Menu.Item>
        ))}
        {compared && (
          <>
            <Menu.Divider />
            <Menu.Item onClick={() => onCompare("")}>Stop comparing</Menu.Item>
          </>
        )}
      </Menu.Dropdown>
    </Menu>
  );
}

/** Return the files that a result was made from, by port; what is no picture shows nothing, which harms nobody. */
function picturesIn(result: Result | undefined): [string, string][] {
  return Object.entries(result?.job.inputs ?? {}).flatMap(([port, value]): [string, string][] =>
    isRecord(value) && typeof value["artifact"] === "string" ? [[port, value["artifact"]]] : [],
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
      top="calc(50% - 17px)"
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
