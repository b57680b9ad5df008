// The frame of every page: navigation, the state of the connection, light and dark. Pages are loaded when opened.

import {
  AppShell,
  Badge,
  Box,
  Center,
  Group,
  Loader,
  Text,
  UnstyledButton,
  useComputedColorScheme,
  useMantineColorScheme,
} from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import {
  IconMoon,
  IconPhoto,
  IconPuzzle,
  IconRun,
  IconSchema,
  IconSettings,
  IconStack2,
  IconSun,
} from "@tabler/icons-react";
import { type ComponentType, type LazyExoticComponent, Suspense, lazy, useEffect, useRef } from "react";
import { Link, Route, Switch, useLocation } from "wouter";

import { useLiveJobs } from "../api/liveJobs";
import { isFinal } from "../api/types";
import { useWork } from "../api/work";
import { JobsPage } from "../jobs/JobsPage";
import { useLateSignatures } from "../plugins/server";
import { Empty } from "../ui/Empty";
import { Tool } from "../ui/Tool";

interface Page {
  path: string;
  label: string;
  icon: typeof IconRun;
  page: ComponentType | LazyExoticComponent<ComponentType>;
}

const PAGES: Page[] = [
  { path: "/jobs", label: "Jobs", icon: IconRun, page: JobsPage },
  { path: "/queue", label: "Queue", icon: IconStack2, page: lazy(() => import("../queue/QueuePage")) },
  { path: "/gallery", label: "Gallery", icon: IconPhoto, page: lazy(() => import("../gallery/GalleryPage")) },
  { path: "/graph", label: "Graph", icon: IconSchema, page: lazy(() => import("../graph/GraphPage")) },
  {
    path: "/plugins",
    label: "Plugins",
    icon: IconPuzzle,
    page: lazy(() => import("../plugins/PluginsPage")),
  },
  {
    path: "/settings",
    label: "Settings",
    icon: IconSettings,
    page: lazy(() => import("../settings/SettingsPage")),
  },
];

export function Shell() {
  useLateSignatures();
  const isPhone = useMediaQuery("(max-width: 48em)", window.innerWidth < 768);
  return (
    <AppShell
      header={{ height: 52 }}
      footer={{ height: isPhone ? 58 : 0 }}
      padding={0}
      styles={{ main: { minHeight: "100dvh" } }}
    >
      <AppShell.Header px="md">
        <Group h="100%" justify="space-between" wrap="nowrap">
          <Group gap="xl" wrap="nowrap">
            <Text fw={700} component="h1" size="md" m={0}>
              stable-core
            </Text>
            {!isPhone && <Navigation />}
          </Group>
          <Group gap="xs" wrap="nowrap">
            <Connection />
            <ColorScheme />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Main>
        <Suspense
          fallback={
            <Center h="60vh">
              <Loader aria-label="Loading" />
            </Center>
          }
        >
          <Switch>
            {PAGES.map(({ path, page }) => (
              <Route key={path} path={`${path}/*?`} component={page as ComponentType} />
            ))}
            <Route path="/" component={JobsPage} />
            <Route>
              <Empty title="There is no such page">Choose one above.</Empty>
            </Route>
          </Switch>
        </Suspense>
      </AppShell.Main>
      {isPhone && (
        <AppShell.Footer>
          <Navigation compact />
        </AppShell.Footer>
      )}
    </AppShell>
  );
}

function Navigation({ compact = false }: { compact?: boolean }) {
  const [location] = useLocation();
  return (
    <Group component="nav" aria-label="Pages" gap={compact ? 0 : 4} wrap="nowrap" h="100%" grow={compact}>
      {PAGES.map(({ path, label, icon: Icon }) => {
        const isHere = location.startsWith(path) || (location === "/" && path === "/jobs");
        return (
          <UnstyledButton
            key={path}
            component={Link}
            href={path}
            aria-current={isHere ? "page" : undefined}
            px={compact ? 2 : "sm"}
            py={6}
            bg={isHere && !compact ? "var(--mantine-color-default-hover)" : undefined}
            c={isHere ? undefined : "dimmed"}
            style={{ borderRadius: "var(--mantine-radius-md)", textAlign: "center" }}
          >
            {compact ? (
              <Box>
                <Box pos="relative" w={20} h={24} mx="auto">
                  <Icon size={20} aria-hidden />
                  {path === "/queue" && (
                    <Box pos="absolute" top={-7} left={13}>
                      <Unfinished />
                    </Box>
                  )}
                </Box>
                <Text size="10px" lh={1.2}>
                  {label}
                </Text>
              </Box>
            ) : (
              <Group gap={6} wrap="nowrap">
                <Icon size={17} aria-hidden />
                <Text size="sm" fw={isHere ? 600 : 500}>
                  {label}
                </Text>
                {path === "/queue" && <Unfinished />}
              </Group>
            )}
          </UnstyledButton>
        );
      })}
    </Group>
  );
}

function Unfinished() {
  const count = useWork().filter((job) => !isFinal(job) && job.parent === null).length;
  return count ? (
    <Badge size="sm" circle={count < 10} aria-label={`${count} unfinished`}>
      {count}
    </Badge>
  ) : null;
}

function Connection() {
  const { connection } = useLiveJobs();
  const wasLost = useRef(false);
  useEffect(() => {
    if (connection === "live" && wasLost.current) {
      notifications.show({ color: "green", message: "Connected again. Everything is up to date." });
    }
    wasLost.current = connection === "lost";
  }, [connection]);
  return (
    <Box role="status" aria-live="polite">
      {connection === "lost" && (
        <Badge color="orange" variant="light">
          Connection lost, trying again
        </Badge>
      )}
    </Box>
  );
}

function ColorScheme() {
  const { setColorScheme } = useMantineColorScheme();
  const isDark = useComputedColorScheme("light") === "dark";
  const label = isDark ? "Switch to light" : "Switch to dark";
  return (
    <Tool
      label={label}
      icon={isDark ? IconSun : IconMoon}
      onClick={() => setColorScheme(isDark ? "light" : "dark")}
    />
  );
}
