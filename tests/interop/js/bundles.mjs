// Makes and verifies bundles with log entry and timestamp, with sigstore-js:
//
//   bundles.mjs sign|attest TRUSTED-ROOT SIGNING-CONFIG TOKEN-FILE FILE BUNDLE
//   bundles.mjs verify < QUESTIONS
//
// A question is a line of JSON; its answer is a line: why it is refused, or an empty string.
import crypto from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { bundleFromJSON, bundleToJSON } from '@sigstore/bundle';
import { SigningConfig, TrustedRoot } from '@sigstore/protobuf-specs';
import { bundleBuilderFromSigningConfig } from '@sigstore/sign';
import { Verifier, toSignedEntity, toTrustMaterial } from '@sigstore/verify';

const json = (path) => JSON.parse(readFileSync(path, 'utf8'));

async function sign(statement, [, configPath, tokenPath, file, out]) {
  const builder = bundleBuilderFromSigningConfig({
    signingConfig: SigningConfig.fromJSON(json(configPath)),
    identityProvider: { getToken: async () => readFileSync(tokenPath, 'utf8') },
    bundleType: statement ? 'dsseEnvelope' : 'messageSignature',
  });
  const artifact = { data: readFileSync(file) };
  if (statement) artifact.type = 'application/vnd.in-toto+json';
  writeFileSync(out, JSON.stringify(bundleToJSON(await builder.create(artifact))));
}

// The library leaves it to its user to look whether a statement names the artifact.
function names(bundle, data) {
  if (bundle.content.$case !== 'dsseEnvelope') return true;
  const digest = crypto.createHash('sha256').update(data).digest('hex');
  const { subject } = JSON.parse(bundle.content.dsseEnvelope.payload.toString());
  return subject.some((entry) => entry.digest.sha256 === digest);
}

function verify({ bundle: bundlePath, file, root, identity, issuer }) {
  const bundle = bundleFromJSON(json(bundlePath));
  const data = readFileSync(file);
  new Verifier(toTrustMaterial(TrustedRoot.fromJSON(json(root)))).verify(toSignedEntity(bundle, data), {
    subjectAlternativeName: `^${identity.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`,
    extensions: { issuer },
  });
  if (!names(bundle, data)) throw new Error('the statement names another artifact');
}

function answer(line) {
  try {
    verify(JSON.parse(line));
    return '';
  } catch (why) {
    return `refused: ${why.message}`;
  }
}

const [verb, ...words] = process.argv.slice(2);
if (verb === 'verify') {
  for (const line of readFileSync(0, 'utf8').trim().split('\n')) console.log(JSON.stringify(answer(line)));
} else {
  await sign(verb === 'attest', words);
}
