using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "main", worker = .echo)],
  sockets = [(name = "http", http = (), service = "main")]
);

const echo :Workerd.Worker = (
  modules = [(name = "echo", esModule = embed "echo.mjs")],
  compatibilityDate = "2025-01-01"
);
