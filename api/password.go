package api

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/hoist-sh/hoist"
	"golang.org/x/crypto/argon2"
)

// argon2id's cost: OWASP's recommendation of 19 MiB, two passes
// (https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html).
const (
	argonMemory  = 19 << 10 // KiB
	argonPasses  = 2
	argonThreads = 1
	argonKey     = 32
)

// Lengths of passwords, in bytes.
const (
	passwordLeast = 8
	passwordMost  = 1024
)

// HashPassword returns the argon2id hash of a password in the PHC string
// format, or an error for the user if the password is too short or too long.
func HashPassword(password string) (string, error) {
	if len(password) < passwordLeast || len(password) > passwordMost {
		return "", hoist.Invalid("Password must have %d to %d characters.", passwordLeast, passwordMost)
	}
	salt := make([]byte, 16)
	rand.Read(salt)
	return encodeHash(password, salt), nil
}

func encodeHash(password string, salt []byte) string {
	return phc(salt, argon2.IDKey([]byte(password), salt, argonPasses, argonMemory, argonThreads, argonKey))
}

func phc(salt, key []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, argonMemory, argonPasses, argonThreads, b64(salt), b64(key))
}

// nobodysHash is what a password is checked against when there is no account,
// so that the answer takes as long. It is not made of a password, as every hoist would
// take that time to start: each command, and two in each push.
var nobodysHash = func() string {
	key := make([]byte, argonKey)
	rand.Read(key)
	return phc(make([]byte, 16), key)
}()

// checkPassword compares a password with a PHC string, in constant time. Hashes
// of other costs than today's are understood, within bounds.
func checkPassword(hash, password string) bool {
	var version, memory, passes, threads uint32
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || len(password) > passwordMost {
		return false
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &threads); err != nil ||
		memory > 1<<20 || passes < 1 || passes > 100 || threads < 1 || threads > 255 {
		return false
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	key, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(key) < 16 {
		return false
	}
	got := argon2.IDKey([]byte(password), salt, passes, memory, uint8(threads), uint32(len(key)))
	return subtle.ConstantTimeCompare(got, key) == 1
}
