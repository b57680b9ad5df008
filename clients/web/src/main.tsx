// Starts the page.

import "./app/parts.css";
import "@mantine/notifications/styles.css";
import "./app/app.css";

import { MantineProvider } from "@mantine/core";
import { Notifications } from "@mantine/notifications";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Router } from "wouter";
import { useHashLocation } from "wouter/use-hash-location";

import { liveJobs } from "./api/liveJobs";
import { keepListsInStep } from "./api/queries";
import { keepUserDataInStep } from "./api/userData";
import { Shell } from "./app/Shell";
import { takeOver } from "./app/takeOver";
import { contrasts, theme } from "./app/theme";
import { keepResultsInStep } from "./gallery/results";

liveJobs.start();
const queries = new QueryClient({ defaultOptions: { queries: { staleTime: 30_000, retry: 1 } } });
keepListsInStep(queries);
keepResultsInStep(queries);
keepUserDataInStep(takeOver);
const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <MantineProvider theme={theme} cssVariablesResolver={contrasts} defaultColorScheme="auto">
      <QueryClientProvider client={queries}>
        <Notifications position="bottom-right" />
        <Router hook={useHashLocation}>
          <Shell />
        </Router>
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
);
