// JupiterOne's own packages judge what opgraph writes.
//
//   node check.mjs OPGRAPH RECORDS
//
// OPGRAPH is the program, RECORDS a file with a record a line (see tests/mapping/missing.rs). The program fills a
// folder from its own simulator; then
//
//   * every entity is validated with the schemas of its classes (@jupiterone/data-model), every relationship with the
//     verbs, types and keys that the SDK itself would give it,
//   * `j1-integration visualize` draws the folder, and what it draws is counted,
//   * `j1-integration sync` uploads it to the simulated JupiterOne, whose oracle has to find the graph exact,
//   * the account changes, the folder is gone on with, the newest SDK runtime syncs it, and the graph is exact again.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const { IntegrationSchema, RelationshipClass } = require('@jupiterone/data-model');
const { generateRelationshipKey, generateRelationshipType } = require('@jupiterone/integration-sdk-core');
const { createApiClient, createIntegrationLogger, iterateParsedGraphFiles, synchronizeCollectedData } =
  require('@jupiterone/integration-sdk-runtime');

const [opgraph, recordsFile] = process.argv.slice(2);
const cli = path.join(path.dirname(fileURLToPath(import.meta.url)), 'node_modules/.bin/j1-integration');
const place = fs.mkdtempSync(path.join(os.tmpdir(), 'opgraph-npm-'));
const dir = path.join(place, 'out');
const storage = path.join(dir, '.j1-integration');

// What is started here ends here.
const ends = [() => fs.rmSync(place, { recursive: true, force: true })];

function say(text) {
  console.log(`${((performance.now() - began) / 1000).toFixed(1)} s  ${text}`);
}
const began = performance.now();

async function run(program, args, env = {}) {
  const child = spawn(program, args, { cwd: place, env: { PATH: process.env.PATH, HOME: place, ...env } });
  let said = '';
  child.stdout.on('data', (data) => (said += data));
  child.stderr.on('data', (data) => (said += data));
  const [code] = await once(child, 'close');
  assert.equal(code, 0, `${path.basename(program)} ${args.join(' ')}\n${said}`);
  return said;
}

// The simulated account, and what it takes to use it.
async function simulate() {
  const args = ['simulate', '--events', '2000', '--vaults', '12', '--items-per-vault', '9', '--listen', '127.0.0.1:0'];
  const child = spawn(opgraph, args, { cwd: place });
  ends.push(() => child.kill());
  let said = '';
  for await (const data of child.stdout) {
    said += data;
    if (said.includes('--jupiterone-instance')) break;
  }
  const word = (pattern) => said.match(pattern)[1];
  return {
    url: word(/ on (http:\S+);/),
    events: word(/OP_EVENTS_TOKEN=(\S+)/),
    connect: word(/OP_CONNECT_TOKEN=(\S+)/),
    key: word(/JUPITERONE_API_KEY=(\S+)/),
    account: word(/--jupiterone-account (\S+)/),
    instance: word(/--jupiterone-instance (\S+)/),
  };
}

// The newest CLI of the registry calls the account as JupiterOne did before it was called JupiterOne.
async function renamed(target) {
  const server = http.createServer((request, response) => {
    const { 'lifeomic-account': account, ...headers } = request.headers;
    assert.ok(account, 'the CLI names the account');
    const on = http.request(new URL(request.url, target), {
      method: request.method,
      headers: { ...headers, 'jupiterone-account': account },
    });
    on.on('response', (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    on.on('error', () => response.destroy());
    request.pipe(on);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ends.push(() => server.closeAllConnections() ?? server.close());
  return `http://127.0.0.1:${server.address().port}`;
}

async function fill(simulator) {
  const url = simulator.url;
  const args = ['run', '--once', '--sink', 'files', '--out', dir, '--events-url', url, '--connect-url', url];
  await run(opgraph, args, { OP_EVENTS_TOKEN: simulator.events, OP_CONNECT_TOKEN: simulator.connect });
}

async function ask(simulator, call, body) {
  const method = body === undefined ? 'GET' : 'POST';
  const answer = await fetch(`${simulator.url}/${call}`, { method, body: body && JSON.stringify(body) });
  const text = await answer.text();
  assert.ok(answer.ok, `${call}: ${text}`);
  return JSON.parse(text);
}

// The simulated JupiterOne's graph against what 1Password served.
async function judge(simulator, who, deleted) {
  await ask(simulator, 'settle', {});
  const { graph, jobs, received } = await ask(simulator, 'report');
  for (const what of ['missing', 'unexpected', 'duplicated', 'dangling', 'wrong']) {
    assert.equal(graph[what].count, 0, `${who}: ${what} ${JSON.stringify(graph[what])}`);
  }
  assert.ok(graph.held > 5000 && graph.held === graph.expected);
  assert.deepEqual([received.refused.count, jobs.bad.count, jobs.open.count], [0, 0, 0]);
  assert.equal(jobs.deleted.count, deleted, `${who}: deleted ${JSON.stringify(jobs.deleted)}`);
  say(`${who}: the simulated JupiterOne holds all ${graph.held} records and nothing else`);
}

// Every record of the folder, found by the SDK's own reader, the one of `sync` and `neo4j push`.
async function read() {
  process.env.JUPITERONE_INTEGRATION_STORAGE_DIRECTORY = storage;
  const [entities, relationships] = [new Map(), new Map()];
  const add = (to) => (record) => {
    assert.ok(!to.has(record._key), `${record._key} is there twice`);
    to.set(record._key, record);
  };
  await iterateParsedGraphFiles(async (file) => {
    file.entities?.forEach(add(entities));
    file.relationships?.forEach(add(relationships));
  });
  return { entities, relationships };
}

function validate(entities, relationships, types) {
  const invalid = new Map();
  const note = (record, what) => {
    const key = `${record._type}: ${what}`;
    invalid.set(key, [...(invalid.get(key) ?? []), record._key]);
  };
  for (const entity of entities) {
    for (const _class of entity._class) {
      const valid = IntegrationSchema.getSchema(`#${_class}`);
      if (!valid) note(entity, `no class ${_class}`);
      else if (!valid(entity)) valid.errors.forEach((error) => note(entity, `${error.instancePath} ${error.message}`));
    }
    for (const [name, value] of Object.entries(entity)) {
      // What the API refuses besides, and the schemas do not (REF: sync API reference).
      if (!/^(_|tag\.)?[A-Za-z0-9. -]+$/.test(name)) note(entity, `the name ${name}`);
      const scalars = [value].flat().every((one) => one === null || typeof one !== 'object');
      if (name !== '_rawData' && !scalars) note(entity, `${name} is nested`);
    }
  }
  for (const relationship of relationships) {
    const [from, to] = [relationship._fromEntityKey, relationship._toEntityKey].map((key) => types.get(key));
    const { _class, _type, _key } = relationship;
    if (!from || !to) note(relationship, 'an end is missing');
    else if (!(_class in RelationshipClass)) note(relationship, `no class ${_class}`);
    else if (_type !== generateRelationshipType(_class, from._type, to._type)) note(relationship, 'another type');
    else if (_key !== generateRelationshipKey(_class, from._key, to._key)) note(relationship, 'another key');
  }
  const told = [...invalid].map(([what, keys]) => `${what} (${keys.length} times, first ${keys[0]})`);
  assert.equal(invalid.size, 0, `invalid:\n${told.join('\n')}`);
}

async function main() {
  // A check that finds nothing must be able to find something.
  assert.throws(() => validate([{ _key: 'one_password_vault:1', _type: 'one_password_vault', _class: ['Vault'] }], []));

  const lines = fs.readFileSync(recordsFile, 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line));
  const isEntity = (record) => record._fromEntityKey === undefined;
  const variants = { entities: lines.filter(isEntity), relationships: lines.filter((line) => !isEntity(line)) };
  assert.ok(variants.entities.length > 2000);
  validate(variants.entities, variants.relationships, new Map(variants.entities.map((one) => [one._key, one])));
  say(`${lines.length} records of events with a field missing, null, empty or odd are valid`);

  const simulator = await simulate();
  await fill(simulator);
  let { entities, relationships } = await read();
  validate(entities.values(), relationships.values(), entities);
  say(`${entities.size} entities and ${relationships.size} relationships of the simulated account are valid`);

  const page = path.join(place, 'graph.html');
  await run(cli, ['visualize', '-d', path.join(storage, 'graph'), '-o', page]);
  const html = fs.readFileSync(page, 'utf8');
  const drawn = [...html.matchAll(/new vis\.DataSet\((\[.*?\])\s*\)/gs)].map(([, data]) => JSON.parse(data).length);
  assert.deepEqual(drawn, [entities.size, relationships.size], 'visualize draws everything');
  say('`j1-integration visualize` draws all of them');

  const account = { JUPITERONE_ACCOUNT: simulator.account, JUPITERONE_API_KEY: simulator.key };
  const base = await renamed(simulator.url);
  const sync = ['sync', '-p', dir, '--api-base-url', base, '-i', simulator.instance];
  await run(cli, [...sync, '--source', 'integration-external'], account);
  await judge(simulator, '`j1-integration sync`', 0);

  const gone = [...entities.values()].filter((entity) => entity._type === 'one_password_secret');
  for (const [number, item] of gone.slice(0, 5).entries()) {
    const change = number % 2 ? 'delete_item' : 'archive_item';
    await ask(simulator, 'change', { change, vault: item.vaultId, item: item.id });
  }
  await fill(simulator);
  ({ entities, relationships } = await read());
  assert.ok(gone.slice(0, 5).every((item) => !entities.has(item._key)), 'what was removed is in no file');
  validate(entities.values(), relationships.values(), entities);
  const logger = createIntegrationLogger({ name: 'check', pretty: false });
  // The whole way of the newest CLI behind its options; its logs would fill the screen.
  logger._logger.level(60);
  await synchronizeCollectedData({
    logger,
    apiClient: createApiClient({ apiBaseUrl: simulator.url, account: simulator.account, accessToken: simulator.key }),
    source: 'integration-external',
    integrationInstanceId: simulator.instance,
  });
  // Five items, and that a vault has each of them.
  await judge(simulator, 'the newest runtime, after a change', 10);
}

try {
  await main();
} finally {
  for (const end of ends.reverse()) end();
}
