package e2e

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/coder/websocket"
)

// wsechoMain sends one message over a WebSocket and prints the answer.
func wsechoMain() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := func() error {
		u, err := url.Parse(os.Args[1])
		if err != nil {
			return err
		}
		host := u.Host
		u.Host = net.JoinHostPort("127.0.0.1", u.Port()) // Go does not know *.localhost, as curl does
		c, _, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{Host: host})
		if err != nil {
			return err
		}
		defer c.CloseNow()
		if err := c.Write(ctx, websocket.MessageText, []byte(os.Args[2])); err != nil {
			return err
		}
		_, answer, err := c.Read(ctx)
		if err != nil {
			return err
		}
		fmt.Println(string(answer))
		return c.Close(websocket.StatusNormalClosure, "")
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
