package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/hoist-sh/hoist/buildpack/static"
	"github.com/spf13/cobra"
)

func init() {
	commands = append(commands, &cobra.Command{
		Use:    "static-here [DIR]",
		Short:  "Serve the files of a directory on $PORT (hoist-static inside a dyno)",
		Hidden: true,
		Args:   cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return serveStatic(cmd.Context(), args)
		},
	})
}

func serveStatic(ctx context.Context, args []string) error {
	config, err := static.ReadConfig(".")
	if err != nil {
		return err
	}
	dir := config.Root
	if len(args) == 1 {
		dir = args[0]
	}
	if dir == "" {
		dir = "."
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = "5000"
	}
	site, err := static.New(dir, config)
	if err != nil {
		return err
	}
	defer site.Close()
	site.HTTPSPort = os.Getenv("HOIST_HTTPS_PORT")
	l, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	fmt.Printf("Serving %s on port %s\n", dir, port)
	srv := &http.Server{Handler: site, ReadHeaderTimeout: 20 * time.Second, IdleTimeout: 2 * time.Minute}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 25*time.Second)
		defer cancel()
		srv.Shutdown(grace)
	}()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-stopped
	return nil
}
