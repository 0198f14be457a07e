{{- define "gavel.name" -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{- end }}

{{- define "gavel.labels" -}}
app.kubernetes.io/name: gavel
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "gavel.selector" -}}
app.kubernetes.io/name: gavel
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "gavel.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "gavel.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "gavel.name" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{/* The arguments of one process, or of several workers: dict args (list), workers. */}}
{{- define "gavel.args" -}}
{{- if gt (int .workers) 1 }}{{ toJson (concat .args (list "--workers" (toString .workers))) }}{{ else }}{{ toJson .args }}{{ end }}
{{- end }}

{{/* The pod of one component: dict root, component, args, workers, resources, ports (list of name and port), probes (port name), stateful. */}}
{{- define "gavel.pod" -}}
{{- $root := .root -}}
metadata:
  labels:
    {{- include "gavel.selector" . | nindent 4 }}
    {{- with $root.Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    checksum/settings: {{ $root.Values.settings | toJson | sha256sum }}
    {{- with $root.Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "gavel.serviceAccount" $root }}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: {{ $root.Values.terminationGracePeriodSeconds }}
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets: {{ toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: gavel
      image: {{ include "gavel.image" $root | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: {{ include "gavel.args" . }}
      env:
        {{- range $name, $value := $root.Values.settings }}
        - {name: GAVEL_{{ $name }}, value: {{ $value | toString | quote }}}
        {{- end }}
        {{- if .stateful }}
        - {name: GAVEL_KAFKA__STATIC_MEMBERSHIP, value: "true"}
        {{- end }}
      {{- with $root.Values.existingSecrets }}
      envFrom:
        {{- range . }}
        - secretRef: {name: {{ . }}}
        {{- end }}
      {{- end }}
      {{- with .ports }}
      ports:
        {{- range . }}
        - {name: {{ .name }}, containerPort: {{ .port }}}
        {{- end }}
      {{- end }}
      {{- if .probes }}
      startupProbe:
        httpGet: {path: /livez, port: {{ .probes }}}
        periodSeconds: 5
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /livez, port: {{ .probes }}}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: {{ .probes }}}
        periodSeconds: 5
        timeoutSeconds: 5
      {{- end }}
      resources: {{- toYaml .resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: data, mountPath: /var/lib/gavel}
        - {name: tmp, mountPath: /tmp}
  volumes:
    - name: data
      emptyDir: {sizeLimit: 1Gi}
    - name: tmp
      emptyDir: {sizeLimit: 256Mi}
  {{- if $root.Values.topologySpread.enabled }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: {{ $root.Values.topologySpread.topologyKey }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "gavel.selector" . | nindent 10 }}
  {{- end }}
  {{- with $root.Values.nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.affinity }}
  affinity: {{ toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
