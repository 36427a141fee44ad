{{- /* The DaemonSet with the choices laid over it, as setup/manifests.rs of the plugin does. */}}
{{- define "guard.daemonSet" }}
{{- $object := .Files.Get "objects/daemonset.yaml" | fromYaml }}
{{- $pod := $object.spec.template.spec }}
{{- $container := first $pod.containers }}
{{- $env := $container.env }}
{{- with .Values.imagePullSecret }}
{{- $_ := set $pod "imagePullSecrets" (list (dict "name" .)) }}
{{- end }}
{{- with .Values.image }}
{{- $_ := set $container "image" . }}
{{- end }}
{{- with .Values.imagePullPolicy }}
{{- $_ := set $container "imagePullPolicy" . }}
{{- end }}
{{- with .Values.interval }}
{{- $env = append $env (dict "name" "GUARD_INTERVAL" "value" .) }}
{{- end }}
{{- if .Values.kubeletInsecureTLS }}
{{- $env = append $env (dict "name" "GUARD_KUBELET_INSECURE_TLS" "value" "true") }}
{{- end }}
{{- if .Values.kubeletCA }}
{{- $env = append $env (dict "name" "GUARD_KUBELET_CA" "value" "/etc/guard/kubelet/ca.crt") }}
{{- $mount := dict "name" "kubelet-ca" "mountPath" "/etc/guard/kubelet" "readOnly" true }}
{{- $_ := set $container "volumeMounts" (append $container.volumeMounts $mount) }}
{{- $volume := dict "name" "kubelet-ca" "configMap" (dict "name" "guard-kubelet-ca") }}
{{- $_ := set $pod "volumes" (append $pod.volumes $volume) }}
{{- end }}
{{- range $name, $value := .Values.env }}
{{- $env = append $env (dict "name" $name "value" (toString $value)) }}
{{- end }}
{{- $_ := set $container "env" $env }}
{{- $_ := set $container "volumeMounts" (concat $container.volumeMounts .Values.extraVolumeMounts) }}
{{- $_ := set $pod "volumes" (concat $pod.volumes .Values.extraVolumes) }}
{{- toYaml $object }}
{{- end }}
