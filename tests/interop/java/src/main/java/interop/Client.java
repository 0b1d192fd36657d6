package interop;

import dev.sigstore.fulcio.client.CertificateRequest;
import dev.sigstore.fulcio.client.FulcioClientGrpc;
import dev.sigstore.fulcio.client.FulcioVerificationException;
import dev.sigstore.fulcio.client.FulcioVerifier;
import dev.sigstore.http.HttpParams;
import dev.sigstore.trustroot.Service;
import dev.sigstore.trustroot.SigstoreTrustedRoot;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Signature;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.util.Collection;
import java.util.List;

/**
 * Gets a certificate over gRPC with sigstore-java, and checks chain and SCT:
 * Client CA-URL TRUSTED-ROOT OTHER-TRUSTED-ROOT TOKEN-FILE SUBJECT IDENTITY.
 *
 * <p>It ends with 0 when the certificate is the identity's and verifies, and does not verify under the other root.
 */
public final class Client {
  public static void main(String[] args) throws Exception {
    String url = args[0];
    String token = Files.readString(Path.of(args[3]));
    KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
    generator.initialize(new ECGenParameterSpec("secp256r1"));
    KeyPair pair = generator.generateKeyPair();
    Signature proof = Signature.getInstance("SHA256withECDSA");
    proof.initSign(pair.getPrivate());
    proof.update(args[4].getBytes(StandardCharsets.UTF_8));

    boolean plain = url.startsWith("http://");
    var client =
        FulcioClientGrpc.builder()
            .setHttpParams(HttpParams.builder().allowInsecureConnections(plain).build())
            .setService(Service.of(URI.create(url), 1))
            .build();
    var path = client.signingCertificate(CertificateRequest.newCertificateRequest(pair.getPublic(), token, proof.sign()));

    var verifier = FulcioVerifier.newFulcioVerifier(root(args[1]));
    verifier.verifySigningCertificate(verifier.trimTrustedParent(path));

    X509Certificate leaf = (X509Certificate) path.getCertificates().get(0);
    Collection<List<?>> names = leaf.getSubjectAlternativeNames();
    if (names.size() != 1 || !names.iterator().next().get(1).equals(args[5])) {
      throw new IllegalStateException("the certificate is for " + names);
    }
    try {
      FulcioVerifier.newFulcioVerifier(root(args[2])).verifySigningCertificate(path);
    } catch (FulcioVerificationException expected) {
      System.exit(0);
    }
    throw new IllegalStateException("it verified under another CA and log");
  }

  private static SigstoreTrustedRoot root(String path) throws Exception {
    try (var stream = Files.newInputStream(Path.of(path))) {
      return SigstoreTrustedRoot.from(stream);
    }
  }
}
