// The Bundle of trust-manager, after its custom resource definition (deploy/crds/trust.cert-manager.io_bundles.yaml).

interface Key {
  key?: string;
  name?: string;
  includeAllKeys?: boolean;
  selector?: Selector;
}

interface Selector {
  matchLabels?: { [key: string]: string };
  matchExpressions?: Array<{ key: string; operator: string; values?: string[] }>;
}

interface Target {
  key: string;
  metadata?: { annotations?: { [key: string]: string }; labels?: { [key: string]: string } };
}

export interface IBundle {
  apiVersion: "trust.cert-manager.io/v1alpha1";
  kind: "Bundle";
  metadata: { name: string; labels?: { [key: string]: string }; annotations?: { [key: string]: string } };
  spec: {
    sources: Array<{ configMap?: Key; secret?: Key; inLine?: string; useDefaultCAs?: boolean }>;
    target?: {
      configMap?: Target;
      secret?: Target;
      additionalFormats?: { jks?: { key: string; password?: string }; pkcs12?: { key: string; password?: string } };
      namespaceSelector?: Selector;
    };
  };
}
