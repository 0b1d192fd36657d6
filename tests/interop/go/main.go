// Signs and verifies with sigstore-go.
//
//	client CA-URL TRUSTED-ROOT TOKEN-FILE IDENTITY ISSUER
//
// ends with 0 when a signature with a certificate alone verifies under the identity, and fails under another.
//
//	client sign|attest TRUSTED-ROOT SIGNING-CONFIG TOKEN-FILE FILE BUNDLE
//	client verify < QUESTIONS
//
// make and verify bundles with log entry and timestamp.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "sign", "attest":
			return signWhole(args[1:], args[0] == "attest")
		case "verify":
			return answers(os.Stdin, os.Stdout)
		}
	}
	if len(args) != 5 {
		return fmt.Errorf("usage: client CA-URL TRUSTED-ROOT TOKEN-FILE IDENTITY ISSUER")
	}
	url, identity, issuer := args[0], args[3], args[4]
	trusted, err := root.NewTrustedRootFromPath(args[1])
	if err != nil {
		return err
	}
	token, err := os.ReadFile(args[2])
	if err != nil {
		return err
	}
	keypair, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return err
	}
	data := []byte("what the pipeline built")
	signed, err := sign.Bundle(&sign.PlainData{Data: data}, keypair, sign.BundleOptions{
		CertificateProvider:        sign.NewFulcio(&sign.FulcioOptions{BaseURL: url}),
		CertificateProviderOptions: &sign.CertificateProviderOptions{IDToken: string(token)},
		TrustedRoot:                trusted,
		Context:                    context.Background(),
	})
	if err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	made, err := bundle.NewBundle(signed)
	if err != nil {
		return err
	}
	verifier, err := verify.NewVerifier(trusted, verify.WithSignedCertificateTimestamps(1), verify.WithCurrentTime())
	if err != nil {
		return err
	}
	holds := func(san string, over []byte) error {
		who, err := verify.NewCertificateIdentity(
			verify.SubjectAlternativeNameMatcher{SubjectAlternativeName: san},
			verify.IssuerMatcher{Issuer: issuer},
			certificate.Extensions{RunnerEnvironment: "self-hosted"})
		if err != nil {
			return err
		}
		_, err = verifier.Verify(made, verify.NewPolicy(
			verify.WithArtifact(bytes.NewReader(over)), verify.WithCertificateIdentity(who)))
		return err
	}
	if err := holds(identity, data); err != nil {
		return fmt.Errorf("verifying: %w", err)
	}
	if holds(identity+"x", data) == nil {
		return fmt.Errorf("another identity verified")
	}
	if holds(identity, []byte("something else")) == nil {
		return fmt.Errorf("another artifact verified")
	}
	return nil
}
