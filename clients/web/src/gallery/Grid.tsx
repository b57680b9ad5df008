// The grid of the gallery. Only the rows on screen exist in the page; the arrow keys go through all of them.

import { ActionIcon, Box, Button, Center, Group, Loader, Paper, Text, UnstyledButton } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { IconCheck, IconHeart, IconHeartFilled, IconMusic, IconVideo } from "@tabler/icons-react";
import { useVirtualizer } from "@tanstack/react-virtual";
import {
  type KeyboardEvent,
  type MouseEvent,
  type ReactNode,
  useEffect,
  useRef,
  useState,
  memo,
} from "react";

import { artifactUrl } from "../api/queries";
import type { Result } from "./results";
import type { Favourites } from "./useFavourites";

const CELL = 200;
const GAP = 8;

interface Props {
  results: readonly Result[];
  favourites: Favourites;
  chosen: ReadonlySet<string>;
  /** Whether a click chooses a result in place of opening it. */
  isChoosing: boolean;
  onOpen: (result: Result) => void;
  onChoose: (result: Result) => void;
  onDelete: (result: Result) => void;
  /** Whether older results are still to be loaded, and what loads some of them. */
  hasMore: boolean;
  onMore: () => void;
  /** What is shown when there is nothing. */
  empty: ReactNode;
}

export function Grid({ results, hasMore, onMore, onOpen, onChoose, onDelete, empty, ...looks }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const { ref: measured, width } = useElementSize();
  const columns = Math.max(2, Math.floor((width + GAP) / (CELL + GAP)));
  const side = (width - GAP * (columns - 1)) / columns;
  const [active, setActive] = useState(0);
  const [wanted, setWanted] = useState<number | null>(null);
  const [isGoingToEnd, setGoingToEnd] = useState(false);
  const rows = useVirtualizer({
    count: Math.ceil(results.length / columns),
    getScrollElement: () => scroller.current,
    estimateSize: () => side,
    gap: GAP,
    overscan: 3,
  });
  useEffect(() => rows.measure(), [rows, side]);
  const visible = rows.getVirtualItems();
  const last = visible.at(-1)?.index ?? 0;
  useEffect(() => {
    if (isGoingToEnd || (last + 4) * columns >= results.length) onMore();
  });
  const goTo = (at: number) => {
    setActive(at);
    setWanted(at);
  };
  if (isGoingToEnd && !hasMore) {
    setGoingToEnd(false);
    goTo(results.length - 1);
  }
  useEffect(() => {
    if (wanted === null) return;
    rows.scrollToIndex(Math.floor(wanted / columns));
    const cell = scroller.current?.querySelector<HTMLElement>(`[data-at="${wanted}"]`);
    if (!cell) return;
    cell.focus({ preventScroll: true });
    setWanted(null);
  }, [wanted, visible, rows, columns]);

  const onKeyDown = (event: KeyboardEvent) => {
    const at = Number((event.target as HTMLElement).dataset["at"] ?? NaN);
    const result = results[at];
    if (!result) return;
    setGoingToEnd(event.key === "End" && hasMore);
    if (event.key === "Delete") onDelete(result);
    else if (event.key === "f") looks.favourites.toggle(result);
    else if (event.key === "x") onChoose(result);
    else {
      const next = nextCell(event.key, at, columns, results.length);
      if (next === null) return;
      if (event.key !== "End" || !hasMore) goTo(next);
    }
    event.preventDefault();
  };

  return (
    <Box
      ref={scroller}
      flex={1}
      px="md"
      pb="md"
      style={{ overflowY: "auto" }}
      data-testid="gallery"
      onKeyDown={onKeyDown}
    >
      <Box
        ref={measured}
        pos="relative"
        h={Math.max(rows.getTotalSize(), 1)}
        role="list"
        aria-label="Results"
      >
        {width > 0 &&
          visible.map((row) => (
            <Box
              key={row.key}
              pos="absolute"
              top={0}
              left={0}
              right={0}
              h={side}
              role="presentation"
              style={{
                transform: `translateY(${row.start}px)`,
                display: "grid",
                gridTemplateColumns: `repeat(${columns}, 1fr)`,
                gridTemplateRows: "100%",
                gap: GAP,
              }}
            >
              {results.slice(row.index * columns, (row.index + 1) * columns).map((result, column) => {
                const at = row.index * columns + column;
                return (
                  <Cell
                    key={result.key}
                    result={result}
                    at={at}
                    isActive={at === Math.min(active, results.length - 1)}
                    onFocus={setActive}
                    onOpen={onOpen}
                    onChoose={onChoose}
                    {...looks}
                  />
                );
              })}
            </Box>
          ))}
      </Box>
      {!results.length && empty}
      {isGoingToEnd && <GoingToEnd count={results.length} onStop={() => setGoingToEnd(false)} />}
    </Box>
  );
}

/** How far it is on its way to the very first result. */
function GoingToEnd({ count, onStop }: { count: number; onStop: () => void }) {
  return (
    <Paper className="over-grid" withBorder shadow="md" p="xs" role="status">
      <Group gap="sm" wrap="nowrap">
        <Loader size="xs" aria-hidden />
        <Text size="sm">Loading older results, {count.toLocaleString()} so far</Text>
        <Button size="compact-sm" variant="subtle" color="gray" onClick={onStop}>
          Stop
        </Button>
      </Group>
    </Paper>
  );
}

/** Return where a key leads from a cell, or null if it leads nowhere. */
export function nextCell(key: string, at: number, columns: number, count: number): number | null {
  const steps: Record<string, number> = {
    ArrowLeft: -1,
    ArrowRight: 1,
    ArrowUp: -columns,
    ArrowDown: columns,
    PageUp: -4 * columns,
    PageDown: 4 * columns,
    Home: -at,
    End: count - 1 - at,
  };
  const step = steps[key];
  return step === undefined ? null : Math.max(0, Math.min(count - 1, at + step));
}

interface CellProps extends Pick<Props, "favourites" | "chosen" | "isChoosing" | "onOpen" | "onChoose"> {
  result: Result;
  at: number;
  isActive: boolean;
  onFocus: (at: number) => void;
}

/** It is drawn again only when it has changed itself, not while others scroll by. */
const Cell = memo(function Cell({
  result,
  at,
  isActive,
  isChoosing,
  favourites,
  chosen,
  onFocus,
  onOpen,
  onChoose,
}: CellProps) {
  const { artifact, key, name, label } = result;
  const isPicture = artifact.type === "image" || artifact.type === "mask";
  const isLiked = favourites.has(artifact.id);
  const isChosen = chosen.has(key);
  const onClick = (event: MouseEvent) => {
    if (isChoosing || event.ctrlKey || event.metaKey) onChoose(result);
    else onOpen(result);
  };
  return (
    <Box className="cell" pos="relative" role="listitem" data-chosen={isChosen} style={{ minWidth: 0 }}>
      <UnstyledButton
        onClick={onClick}
        onFocus={() => onFocus(at)}
        tabIndex={isActive ? 0 : -1}
        data-at={at}
        aria-label={name}
        title={name}
        aria-pressed={isChoosing ? isChosen : undefined}
        className="cell-picture checkered"
        draggable
        onDragStart={(event) => event.dataTransfer.setData("application/x-stable-core-artifact", artifact.id)}
      >
        {isPicture ? (
          <img src={artifactUrl(artifact.id)} alt="" loading="lazy" decoding="async" draggable={false} />
        ) : (
          <Center h="100%" p="sm" style={{ flexDirection: "column" }}>
            {artifact.type === "audio" ? <IconMusic aria-hidden /> : <IconVideo aria-hidden />}
            <Text size="xs" lineClamp={3} ta="center" mt={4}>
              {name}
            </Text>
          </Center>
        )}
        {label && <span className="picture-label">{label}</span>}
      </UnstyledButton>
      <Corner
        side="left"
        label={isChosen ? "Do not choose" : "Choose"}
        isOn={isChosen}
        onClick={() => onChoose(result)}
      >
        <IconCheck size={15} stroke={3} />
      </Corner>
      <Corner
        side="right"
        label={isLiked ? "No favourite" : "Favourite"}
        isOn={isLiked}
        onClick={() => favourites.toggle(result)}
      >
        {isLiked ? <IconHeartFilled size={15} /> : <IconHeart size={15} />}
      </Corner>
    </Box>
  );
});

interface CornerProps {
  side: "left" | "right";
  label: string;
  isOn: boolean;
  onClick: () => void;
  children: ReactNode;
}

function Corner({ side, label, isOn, onClick, children }: CornerProps) {
  return (
    <ActionIcon
      className="cell-corner"
      pos="absolute"
      top={6}
      {...{ [side]: 6 }}
      size="sm"
      radius="xl"
      tabIndex={-1}
      aria-label={label}
      aria-pressed={isOn}
      data-side={side}
      onClick={onClick}
    >
      {children}
    </ActionIcon>
  );
}
