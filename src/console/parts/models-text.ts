/** Models as a person writes them: separated by commas, in lines or not. */
export function modelsOf(text = ''): string[] {
  return text
    .split(/[,\n]/)
    .map((part) => part.trim())
    .filter((part) => part !== '')
}
