/**
 * The room plan as rules. Imports point one way: doors, then queue, then store, then core.
 * `may` lists the rooms that a room may import from; whatever is not listed is refused.
 */
const may = {
  core: [],
  // Settings may be topic filters, and what a filter is stands in one place.
  config: ['topics', 'core'],
  topics: ['core'],
  mqtt: ['core'],
  store: ['core'],
  metrics: ['core'],
  queue: ['store', 'core'],
  broker: ['store', 'topics', 'mqtt', 'core'],
  auth: ['store', 'core'],
  listeners: ['core'],
  http: ['metrics', 'core'],
  plugins: ['broker', 'queue', 'store', 'topics', 'core'],
  operations: ['plugins', 'broker', 'queue', 'store', 'topics', 'core'],
  client: ['core'],
  // The commands speak to a server as any program does; the broker itself is loaded by main.ts where it is needed.
  cli: ['client', 'config', 'core'],
}

/** Doors that know another room's shapes and call nothing of it. */
const mayTypesOnly = {
  auth: ['broker'],
  listeners: ['broker'],
  http: ['broker', 'operations'],
}

const rooms = (names) => `^src/(${names.join('|')})/`

const roomRules = Object.entries(may).map(([room, allowed]) => ({
  name: `${room}-imports`,
  severity: 'error',
  comment: `${room} may import ${allowed.length > 0 ? allowed.join(', ') : 'no other room'}.`,
  from: { path: `^src/${room}/` },
  to: {
    path: '^src/',
    pathNot: rooms([room, ...allowed, ...(mayTypesOnly[room] ?? [])]),
  },
}))

const typeRules = Object.entries(mayTypesOnly).map(([room, shapes]) => ({
  name: `${room}-types-only`,
  severity: 'error',
  comment: `${room} may import types from ${shapes.join(', ')}, no values.`,
  from: { path: `^src/${room}/` },
  to: { path: rooms(shapes), dependencyTypesNot: ['type-only'] },
}))

/** A package that belongs to one room: nobody else may lean on it. */
const owned = [
  {
    name: 'aedes',
    packages: 'aedes|aedes-packet|aedes-persistence|aedes-persistence-level',
    from: '^src/broker/',
  },
  { name: 'level', packages: 'level|classic-level', from: '^src/(store|broker)/' },
  { name: 'fastify', packages: 'fastify', from: '^src/http/' },
  { name: 'cel', packages: '@marcbachmann/cel-js', from: '^src/plugins/bridge/' },
  { name: 'ws', packages: 'ws', from: '^src/(listeners|http)/' },
  { name: 'prom-client', packages: 'prom-client', from: '^src/metrics/' },
  { name: 'commander', packages: 'commander', from: '^src/(cli/|main\\.ts)' },
]

const ownedRules = owned.map(({ name, packages, from }) => ({
  name: `${name}-stays-home`,
  severity: 'error',
  comment: `Only ${from} imports ${name}.`,
  from: { path: '^src/', pathNot: from },
  to: { path: `(^|/)node_modules/(${packages})/` },
}))

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      comment: 'Two files that need each other to load are one file in two places. Types alone may refer back.',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'not-upwards',
      severity: 'error',
      comment: 'Rooms never import the files that put rooms together.',
      from: { path: '^src/[^/]+/' },
      to: { path: '^src/[^/]+\\.ts$' },
    },
    {
      name: 'not-to-unresolvable',
      severity: 'error',
      comment: 'An import that does not resolve, or a package that package.json does not list.',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'no-dev-dependency',
      severity: 'error',
      comment: 'The built program has no development packages.',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
    ...roomRules,
    ...typeRules,
    ...ownedRules,
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    detectProcessBuiltinModuleCalls: true,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
}
