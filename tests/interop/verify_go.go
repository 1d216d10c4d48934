// Go's verdict about the chains that tests/unit/test_verification.c has written: verify_go DIRECTORY
//
// Prints one line for each case: its name, and "accepts" or "refuses".
package main

import (
	"bufio"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
)

// A certificate that Go cannot parse refuses the chain.
func read(path string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	var certificates []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certificates = append(certificates, certificate)
	}
	return certificates, nil
}

func pool(certificates []*x509.Certificate) *x509.CertPool {
	made := x509.NewCertPool()
	for _, certificate := range certificates {
		made.AddCert(certificate)
	}
	return made
}

func judge(directory, name, serverName string) error {
	chain, err := read(filepath.Join(directory, name+".chain"))
	if err != nil {
		return err
	}
	cas, err := read(filepath.Join(directory, name+".cas"))
	if err != nil {
		return err
	}
	options := x509.VerifyOptions{Roots: pool(cas), Intermediates: pool(chain[1:]),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if serverName != "-" {
		options.DNSName, options.KeyUsages = serverName, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	_, err = chain[0].Verify(options)
	return err
}

func main() {
	list, err := os.Open(filepath.Join(os.Args[1], "cases"))
	if err != nil {
		log.Fatal(err)
	}
	for lines := bufio.NewScanner(list); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if judge(os.Args[1], words[0], words[1]) == nil {
			fmt.Println(words[0], "accepts")
		} else {
			fmt.Println(words[0], "refuses")
		}
	}
}
