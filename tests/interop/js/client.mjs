// Signs and verifies with sigstore-js: client.mjs CA-URL TRUSTED-ROOT TOKEN-FILE IDENTITY ISSUER PROJECT-PATH
//
// It ends with 0 when the signature verifies under the identity and the project, and fails under others.
import { readFileSync } from 'node:fs';
import { bundleToJSON, bundleFromJSON } from '@sigstore/bundle';
import { TrustedRoot } from '@sigstore/protobuf-specs';
import { FulcioSigner, MessageSignatureBundleBuilder } from '@sigstore/sign';
import { Verifier, toSignedEntity, toTrustMaterial } from '@sigstore/verify';

const [url, rootPath, tokenPath, identity, issuer, project] = process.argv.slice(2);
const token = readFileSync(tokenPath, 'utf8');
const data = Buffer.from('what the pipeline built');

const signer = new FulcioSigner({ fulcioBaseURL: url, identityProvider: { getToken: async () => token } });
const made = await new MessageSignatureBundleBuilder({ signer, witnesses: [] }).create({ data });
const bundle = bundleFromJSON(bundleToJSON(made));

const trust = toTrustMaterial(TrustedRoot.fromJSON(JSON.parse(readFileSync(rootPath, 'utf8'))));
const verifier = new Verifier(trust, { tlogThreshold: 0, timestampThreshold: 0, ctlogThreshold: 1 });

// The GitLab claim `project_path`, a DER UTF8String under countersign's arc.
const projectPath = '1.2.840.113556.1.8000.2554.28867.4258.65327.16907.43729.14999557.3402717.3';

function check(data, san, project) {
  const entity = toSignedEntity(bundle, data);
  // Without a timestamp this library has no time to verify at: it is given the present one.
  entity.timestamps = [{
    $case: 'transparency-log',
    tlogEntry: {
      integratedTime: String(Math.floor(Date.now() / 1000)),
      logId: { keyId: Buffer.alloc(32) },
      inclusionPromise: {},
    },
  }];
  const value = Buffer.concat([Buffer.from([0x0c, project.length]), Buffer.from(project)]);
  verifier.verify(entity, {
    subjectAlternativeName: `^${san.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`,
    extensions: { issuer },
    oids: [{ oid: { id: projectPath.split('.').map(Number) }, value }],
  });
}

check(data, identity, project);
for (const wrong of [
  () => check(data, `${identity}x`, project),
  () => check(data, identity, 'acme/gadgets'),
  () => check(Buffer.from('something else'), identity, project),
]) {
  let refused = false;
  try { wrong(); } catch { refused = true; }
  if (!refused) throw new Error(`verified what it must not: ${wrong}`);
}
