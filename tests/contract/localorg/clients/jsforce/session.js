// What a person does with jsforce in an afternoon, against one org. Reads what to connect to from the environment
// and prints one JSON object of what it saw; the test judges it.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(`${process.env.CLIENT_HOME}/`));
const jsforce = require("jsforce");
const org = JSON.parse(process.env.ORG_LINE);
const seen = {};

const conn = new jsforce.Connection({ loginUrl: org.login_url, version: "61.0" });
conn.metadata.pollInterval = conn.bulk2.pollInterval = conn.bulk.pollInterval = 50;
const user = await conn.login(org.username, org.password);
seen.login = { organizationId: user.organizationId, instance: conn.instanceUrl };
seen.identity = (await conn.identity()).username;

// Deploy by SOAP and by REST
const zip = readFileSync(process.env.PACKAGE_ZIP);
const deployed = await conn.metadata
  .deploy(zip.toString("base64"), { rollbackOnError: true, singlePackage: true })
  .complete(true);
seen.deploy = { status: deployed.status, success: deployed.success, total: Number(deployed.numberComponentsTotal) };
seen.components = deployed.details.componentSuccesses.length;
const rest = await conn.metadata.deployRest(zip, { checkOnly: true, rollbackOnError: true, singlePackage: true });
seen.deployRest = (await conn.metadata.checkDeployStatus(rest.id, true, true)).status;
const bad = await conn.metadata
  .deploy(readFileSync(process.env.BROKEN_ZIP).toString("base64"), { rollbackOnError: true, singlePackage: true })
  .complete(true);
seen.failures = [bad.details.componentFailures].flat().map((each) => [each.fullName, each.problem]);

// What is there afterwards
const described = await conn.sobject("Case").describe();
seen.describe = described.fields.some((each) => each.name === "Maint_Priority__c");
seen.global = (await conn.describeGlobal()).sobjects.some((each) => each.name === "Maintenance_Pack__c");
seen.metadataTypes = (await conn.metadata.describe()).metadataObjects.map((each) => each.xmlName);
seen.listed = [await conn.metadata.list([{ type: "PermissionSet" }])].flat().map((each) => each.fullName);
const read = await conn.metadata.read("CustomObject", ["Time_Entry__c"]);
seen.read = [read].flat()[0].label;
const retrieved = await conn.metadata
  .retrieve({ apiVersion: "61.0", singlePackage: true, unpackaged: { types: [{ name: "CustomObject", members: ["Case"] }] } })
  .complete();
seen.retrieved = [retrieved.fileProperties].flat().filter((each) => each.fullName === "Case.Maint_Priority__c").length;
const made = await conn.metadata.create("CustomObject", [
  {
    fullName: "Crate__c",
    label: "Crate",
    pluralLabel: "Crates",
    nameField: { type: "Text", label: "Crate Name" },
    deploymentStatus: "Deployed",
    sharingModel: "ReadWrite",
  },
]);
seen.created = [made].flat().map((each) => each.success);
seen.tooling = (await conn.tooling.query("SELECT Id, DeveloperName FROM CustomField WHERE DeveloperName = 'State'")).totalSize;
const field = await conn.tooling.sobject("CustomField").create({
  FullName: "Crate__c.Tag__c",
  Metadata: { type: "Text", label: "Tag", length: 20 },
});
seen.toolingCreate = field.success;

// Records
const account = await conn.sobject("Account").create({ Name: "Äcme “quoted” & co" });
await conn.sobject("Account").update({ Id: account.id, Phone: "1" });
seen.retrieve = (await conn.sobject("Account").retrieve(account.id)).Name;
const caseId = (await conn.sobject("Case").create({ Subject: "s", AccountId: account.id })).id;
const entry = { Sfsync_Key__c: "te:1", Case__c: caseId, Minutes__c: 30, Work_Date__c: process.env.TODAY };
seen.upsert = [];
for (const minutes of [30, 45]) {
  const result = await conn.sobject("Time_Entry__c").upsert({ ...entry, Minutes__c: minutes }, "Sfsync_Key__c");
  seen.upsert.push(result.success);
}
seen.entry = (await conn.query("SELECT Minutes__c, Hours__c, Case__r.Account.Name FROM Time_Entry__c")).records[0];
const many = Array.from({ length: 450 }, (_, n) => ({ Name: `many ${n}` }));
const saved = await conn.sobject("Account").create(many, { allOrNone: true, allowRecursive: true });
seen.collection = saved.filter((each) => each.success).length;
const gone = await conn.sobject("Account").destroy(saved.slice(0, 250).map((each) => each.id), { allowRecursive: true });
seen.destroyed = gone.filter((each) => each.success).length;

// Bulk and paging
const rows = Array.from({ length: 2500 }, (_, n) => ({ Name: `bulk ${n}`, Description: n % 2 ? "one\ntwo, \"three\"" : "" }));
const loaded = await conn.bulk2.loadAndWaitForResults({ object: "Account", operation: "insert", input: rows, pollInterval: 50 });
seen.bulk = [loaded.successfulResults.length, loaded.failedResults.length, loaded.unprocessedRecords.length];
const stream = await conn.bulk2.query("SELECT Id, Name FROM Account WHERE Name LIKE 'bulk %'", { pollInterval: 50 });
seen.bulkQuery = (await stream.toArray()).length;
const fetched = await conn
  .query("SELECT Id, Name FROM Account ORDER BY Name")
  .run({ autoFetch: true, maxFetch: 10_000 });
seen.fetched = [fetched.records.length, fetched.totalSize];
const loadedOld = await conn.bulk.load("Account", "insert", [{ Name: "old bulk" }]);
seen.bulkOld = loadedOld.map((each) => each.success);

// Errors keep their codes
seen.errors = [];
for (const attempt of [
  () => conn.query("SELECT Nope FROM Case"),
  () => conn.sobject("Account").create({ Phone: "no name" }),
  () => conn.sobject("Account").retrieve("001000000000000AAA"),
  () => conn.metadata.list([{ type: "Nope" }]),
]) {
  try {
    await attempt();
    seen.errors.push("none");
  } catch (error) {
    seen.errors.push(error.errorCode ?? error.name);
  }
}
const stranger = new jsforce.Connection({ loginUrl: org.login_url });
try {
  await stranger.login(org.username, "wrong");
} catch (error) {
  seen.errors.push(error.message.split(":")[0]);
}
await conn.logout();
console.log(JSON.stringify(seen));
