package interop;

import com.google.gson.Gson;
import dev.sigstore.AlgorithmRegistry.SigningAlgorithm;
import dev.sigstore.KeylessSigner;
import dev.sigstore.KeylessVerifier;
import dev.sigstore.SigningConfigProvider;
import dev.sigstore.TrustedRootProvider;
import dev.sigstore.VerificationOptions;
import dev.sigstore.VerificationOptions.CertificateMatcher;
import dev.sigstore.bundle.Bundle;
import dev.sigstore.oidc.client.OidcClients;
import dev.sigstore.oidc.client.TokenStringOidcClient;
import dev.sigstore.strings.StringMatcher;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Makes and verifies bundles with log entry and timestamp, with sigstore-java:
 *
 * <pre>
 * Bundles sign|attest TRUSTED-ROOT SIGNING-CONFIG TOKEN-FILE FILE BUNDLE
 * Bundles verify &lt; QUESTIONS
 * </pre>
 *
 * A question is a line of JSON; its answer is a line: why it is refused, or an empty string.
 */
public final class Bundles {
  private record Question(String bundle, String file, String root, String identity, String issuer) {}

  private static final Gson JSON = new Gson();

  public static void main(String[] args) throws Exception {
    if (args[0].equals("verify")) {
      answer();
    } else {
      sign(args);
    }
    // gRPC's threads would keep the process.
    System.exit(0);
  }

  private static void sign(String[] args) throws Exception {
    String token = Files.readString(Path.of(args[3]));
    var signer =
        KeylessSigner.builder()
            .trustedRootProvider(TrustedRootProvider.from(Path.of(args[1])))
            .signingConfigProvider(SigningConfigProvider.from(Path.of(args[2])))
            .forceCredentialProviders(OidcClients.of(TokenStringOidcClient.from(token)))
            .signingAlgorithm(SigningAlgorithm.PKIX_ECDSA_P256_SHA_256)
            .enableRekorV2(true)
            .build();
    Path file = Path.of(args[4]);
    Bundle made = args[0].equals("attest") ? signer.attest(Files.readString(file)) : signer.signFile(file);
    Files.writeString(Path.of(args[5]), made.toJson());
  }

  private static void answer() throws Exception {
    var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String said = "";
      try {
        verify(JSON.fromJson(line, Question.class));
      } catch (Exception why) {
        StringBuilder words = new StringBuilder("refused");
        for (Throwable cause = why; cause != null; cause = cause.getCause()) {
          words.append(": ").append(cause.getMessage());
        }
        said = words.toString();
      }
      System.out.println(JSON.toJson(said));
    }
  }

  private static void verify(Question asked) throws Exception {
    var verifier = KeylessVerifier.builder().trustedRootProvider(TrustedRootProvider.from(Path.of(asked.root()))).build();
    var who =
        CertificateMatcher.fulcio()
            .subjectAlternativeName(StringMatcher.string(asked.identity()))
            .issuer(StringMatcher.string(asked.issuer()))
            .build();
    var bundle = Bundle.from(Path.of(asked.bundle()), StandardCharsets.UTF_8);
    verifier.verify(Path.of(asked.file()), bundle, VerificationOptions.builder().addCertificateMatchers(who).build());
  }
}
