package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

const completionLong = `Print a script that completes commands, flags and their values on the command line: also addresses, message ids and
gateways, which it asks of the operator's API that the command would use, for at most a second.

bash: godwit completion bash > ~/.local/share/bash-completion/completions/godwit, or source it from ~/.bashrc.

zsh: godwit completion zsh > "${fpath[1]}/_godwit", and compinit in ~/.zshrc.

fish: godwit completion fish > ~/.config/fish/completions/godwit.fish.

PowerShell: godwit completion powershell | Out-String | Invoke-Expression, in the profile.`

func (a *app) completionCmd() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	cmd := &cobra.Command{
		Use: "completion SHELL", Short: "Print a script that completes commands for bash, zsh, fish or powershell", Long: completionLong, Args: takes(1, 1),
		Example: "  source <(godwit completion bash)\n  godwit completion fish > ~/.config/fish/completions/godwit.fish",
		RunE: func(cmd *cobra.Command, args []string) error {
			shell, err := oneOf(args[0], shells)
			if err != nil {
				return usage("SHELL %q %w", args[0], err)
			}
			root := cmd.Root()
			switch shell {
			case "bash":
				return a.bashCompletion(root)
			case "zsh":
				return root.GenZshCompletion(a.stdout)
			case "fish":
				return root.GenFishCompletion(a.stdout, true)
			}
			return root.GenPowerShellCompletionWithDesc(a.stdout)
		},
	}
	offerArgs(cmd, fixed(shells...))
	return cmd
}

// bashWords does what the script wants of the package bash-completion, for a bash without it: words that bash has split at = and : are
// put together again.
const bashWords = `    if ! declare -F _get_comp_words_by_ref >/dev/null 2>&1; then
        local i glue=0
        words=() cword=0
        for ((i = 0; i <= COMP_CWORD; i++)); do
            if [[ ${#words[@]} -gt 0 && ( ${glue} -eq 1 || ${COMP_WORDS[i]} =~ ^[=:]+$ ) ]]; then
                words[${#words[@]}-1]+="${COMP_WORDS[i]}"
            else
                words+=("${COMP_WORDS[i]}")
            fi
            [[ ${COMP_WORDS[i]} =~ ^[=:]+$ ]] && glue=1 || glue=0
        done
        cword=$((${#words[@]} - 1))
        cur="${words[cword]}"
        return 0
    fi
`

func (a *app) bashCompletion(root *cobra.Command) error {
	var script strings.Builder
	if err := root.GenBashCompletionV2(&script, true); err != nil {
		return err
	}
	const ask = "    _get_comp_words_by_ref \"$@\" cur prev words cword\n"
	_, err := fmt.Fprint(a.stdout, strings.Replace(script.String(), ask, bashWords+ask, 1))
	return err
}
