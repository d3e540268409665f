// Compiles a pipeline to the Argo workflow that the backend's API server would submit, with the backend's own compiler.
// Built inside the backend's module; see backend_programs.py.
//
//	argo spec.json platform.json [runtime.json]
package main

import (
	"fmt"
	"os"

	"github.com/kubeflow/pipelines/api/v2alpha1/go/pipelinespec"
	"github.com/kubeflow/pipelines/backend/src/apiserver/config/proxy"
	"github.com/kubeflow/pipelines/backend/src/v2/compiler/argocompiler"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(specPath, platformPath string, runtimePaths []string) error {
	spec, err := os.ReadFile(specPath)
	if err != nil {
		return err
	}
	// As the backend's own reader does: once through the strict message, so that an unknown field is an error.
	if err := protojson.Unmarshal(spec, &pipelinespec.PipelineSpec{}); err != nil {
		return err
	}
	pipeline := &structpb.Struct{}
	if err := protojson.Unmarshal(spec, pipeline); err != nil {
		return err
	}
	text, err := os.ReadFile(platformPath)
	if err != nil {
		return err
	}
	platform := &pipelinespec.PlatformSpec{}
	if err := protojson.Unmarshal(text, platform); err != nil {
		return err
	}
	// What the API server makes of a submission: parameters, and where artifacts go.
	runtime := &pipelinespec.PipelineJob_RuntimeConfig{}
	for _, path := range runtimePaths {
		told, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := protojson.Unmarshal(told, runtime); err != nil {
			return err
		}
	}
	proxy.InitializeConfig("", "", "")
	job := &pipelinespec.PipelineJob{
		PipelineSpec:  pipeline,
		RuntimeConfig: runtime,
	}
	workflow, err := argocompiler.Compile(job, platform.GetPlatforms()["kubernetes"], &argocompiler.Options{})
	if err != nil {
		return err
	}
	out, err := yaml.Marshal(workflow)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(out)
	return err
}
