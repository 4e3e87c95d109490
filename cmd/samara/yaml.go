package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v4"
)

// toYAML writes JSON as YAML that says the same, with keys in the same order.
func toYAML(text []byte) ([]byte, error) {
	tokens := json.NewDecoder(bytes.NewReader(text))
	tokens.UseNumber()
	root, err := yamlNode(tokens)
	if err != nil {
		return nil, err
	}
	return yaml.Dump(root, yaml.WithLineWidth(-1))
}

// yamlNode returns the next value of JSON.
func yamlNode(tokens *json.Decoder) (*yaml.Node, error) {
	token, err := tokens.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		if v == '{' {
			n.Kind, n.Tag = yaml.MappingNode, "!!map"
		}
		for tokens.More() { // keys of an object are values, too
			item, err := yamlNode(tokens)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, item)
		}
		_, err := tokens.Token() // the end
		return n, err
	case string:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v}, nil
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(token)}, nil // a number or a truth value
}
