package gateway

import (
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// bearerPrefix begins a subprotocol that is no subprotocol but a credential: a
// page can't give a WebSocket a header, but it can offer subprotocols. It is
// never chosen, and so never echoed.
const bearerPrefix = "bearer."

// bearerOf returns the credential among the subprotocols that were offered, or
// "". It is a JWT as it stands, or anything in base64url; only the former has a dot.
func bearerOf(offered []string, longest int) (string, error) {
	var bearer string
	for _, p := range offered {
		text, ok := strings.CutPrefix(p, bearerPrefix)
		switch {
		case !ok:
			continue
		case bearer != "":
			return "", errors.New("more than one " + bearerPrefix + " subprotocol")
		case len(text) > longest:
			return "", errors.New("the " + bearerPrefix + " subprotocol is longer than " + strconv.Itoa(longest) + " bytes")
		case !strings.Contains(text, "."):
			raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
			if err != nil || len(raw) == 0 {
				return "", errors.New("the " + bearerPrefix + " subprotocol is neither a JWT nor base64url")
			}
			text = string(raw)
		}
		bearer = text
	}
	return bearer, nil
}

// credentialParameters are what people call a credential in a URL.
var credentialParameters = []string{"token", "access_token", "credential", "jwt", "authorization"}

// credentialParameter names the query parameter that has a credential in it, or
// is "". URLs are in the logs of proxies and in browsers' histories (CWE-598).
func credentialParameter(r *http.Request) string {
	for name := range r.URL.Query() {
		if i := slices.Index(credentialParameters, strings.ToLower(name)); i >= 0 {
			return credentialParameters[i]
		}
	}
	return ""
}
