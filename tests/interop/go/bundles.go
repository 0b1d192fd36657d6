package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/encoding/protojson"
)

const patience = 30 * time.Second

// signWhole makes a bundle with everything that the signing config names: certificate, timestamp, log entry.
// Arguments: TRUSTED-ROOT SIGNING-CONFIG TOKEN-FILE FILE BUNDLE.
func signWhole(args []string, statement bool) error {
	if len(args) != 5 {
		return fmt.Errorf("usage: client sign|attest TRUSTED-ROOT SIGNING-CONFIG TOKEN-FILE FILE BUNDLE")
	}
	trusted, err := root.NewTrustedRootFromPath(args[0])
	if err != nil {
		return err
	}
	config, err := root.NewSigningConfigFromPath(args[1])
	if err != nil {
		return err
	}
	token, err := os.ReadFile(args[2])
	if err != nil {
		return err
	}
	data, err := os.ReadFile(args[3])
	if err != nil {
		return err
	}
	options, err := services(config, string(token))
	if err != nil {
		return err
	}
	options.TrustedRoot = trusted
	keypair, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return err
	}
	var content sign.Content = &sign.PlainData{Data: data}
	if statement {
		content = &sign.DSSEData{Data: data, PayloadType: "application/vnd.in-toto+json"}
	}
	made, err := sign.Bundle(content, keypair, *options)
	if err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	written, err := protojson.Marshal(made)
	if err != nil {
		return err
	}
	return os.WriteFile(args[4], written, 0o600)
}

func services(config *root.SigningConfig, token string) (*sign.BundleOptions, error) {
	now := time.Now()
	authority, err := root.SelectService(config.FulcioCertificateAuthorityURLs(), sign.FulcioAPIVersions, now)
	if err != nil {
		return nil, err
	}
	options := &sign.BundleOptions{
		CertificateProvider:        sign.NewFulcio(&sign.FulcioOptions{BaseURL: authority.URL, Timeout: patience}),
		CertificateProviderOptions: &sign.CertificateProviderOptions{IDToken: token},
	}
	timestamps, err := root.SelectServices(config.TimestampAuthorityURLs(), config.TimestampAuthorityURLsConfig(),
		sign.TimestampAuthorityAPIVersions, now)
	if err != nil {
		return nil, err
	}
	for _, service := range timestamps {
		options.TimestampAuthorities = append(options.TimestampAuthorities,
			sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: service.URL, Timeout: patience}))
	}
	logs, err := root.SelectServices(config.RekorLogURLs(), config.RekorLogURLsConfig(), sign.RekorAPIVersions, now)
	if err != nil {
		return nil, err
	}
	for _, service := range logs {
		options.TransparencyLogs = append(options.TransparencyLogs,
			sign.NewRekor(&sign.RekorOptions{BaseURL: service.URL, Timeout: patience, Version: service.MajorAPIVersion}))
	}
	return options, nil
}

// question is one line of what is asked of the verifier.
type question struct {
	Bundle, File, Root, Identity, Issuer string
}

// answers reads questions, one a line of JSON, and writes a line for each: why it is refused, or an empty string.
func answers(questions io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(questions)
	for lines.Scan() {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			return err
		}
		said := ""
		if err := verifyWhole(asked); err != nil {
			said = "refused: " + err.Error()
		}
		line, err := json.Marshal(said)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, string(line))
	}
	return lines.Err()
}

func verifyWhole(asked question) error {
	trusted, err := root.NewTrustedRootFromPath(asked.Root)
	if err != nil {
		return err
	}
	made, err := bundle.LoadJSONFromPath(asked.Bundle)
	if err != nil {
		return err
	}
	verifier, err := verify.NewVerifier(trusted, verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1),
		verify.WithSignedTimestamps(1))
	if err != nil {
		return err
	}
	who, err := verify.NewShortCertificateIdentity(asked.Issuer, "", asked.Identity, "")
	if err != nil {
		return err
	}
	data, err := os.ReadFile(asked.File)
	if err != nil {
		return err
	}
	_, err = verifier.Verify(made, verify.NewPolicy(verify.WithArtifact(bytes.NewReader(data)), verify.WithCertificateIdentity(who)))
	return err
}
