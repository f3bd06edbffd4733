<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de" sourcelanguage="en">
 <context>
  <name>app</name>
  <message>
   <source>"{title}"</source>
   <translation>„{title}“</translation>
  </message>
  <message>
   <source>--cluster needs Ray, which is not installed.</source>
   <translation>--cluster braucht Ray, das nicht installiert ist.</translation>
  </message>
  <message>
   <source>--midi-map: there is no slider named {name!r}; known are {names}.</source>
   <translation>--midi-map: einen Regler namens {name!r} gibt es nicht; bekannt sind {names}.</translation>
  </message>
  <message>
   <source>--midi-map: {entry!r} is not a controller and a slider, such as 1=smile or 2/7=brow.</source>
   <translation>--midi-map: {entry!r} ist nicht Controller und Regler, wie etwa 1=smile oder 2/7=brow.</translation>
  </message>
  <message>
   <source>--midi: reading MIDI needs the packages mido and python-rtmidi.</source>
   <translation>--midi: Für MIDI sind die Pakete mido und python-rtmidi nötig.</translation>
  </message>
  <message>
   <source>.gif can't hold {codec}.</source>
   <translation>.gif kann {codec} nicht enthalten.</translation>
  </message>
  <message>
   <source>0.0.0.0 means all of its addresses.</source>
   <translation>0.0.0.0 steht für alle seine Adressen.</translation>
  </message>
  <message>
   <source>1. A portrait</source>
   <translation>1. Ein Porträt</translation>
  </message>
  <message>
   <source>2. Motion</source>
   <translation>2. Bewegung</translation>
  </message>
  <message>
   <source>203 face landmarks of LivePortrait</source>
   <translation>203 Gesichtspunkte von LivePortrait</translation>
  </message>
  <message>
   <source>3. A file</source>
   <translation>3. Eine Datei</translation>
  </message>
  <message>
   <source>478 face landmarks with irises, and a presence score</source>
   <translation>478 Gesichtspunkte mit Iris, und ob ein Gesicht da ist</translation>
  </message>
  <message>
   <source>A</source>
   <translation>A</translation>
  </message>
  <message>
   <source>A batch or the window is rendering.</source>
   <translation>Ein Stapel oder das Fenster rendert gerade.</translation>
  </message>
  <message>
   <source>A different model is already registered as {spec!r}.</source>
   <translation>Unter {spec!r} ist schon ein anderes Modell eingetragen.</translation>
  </message>
  <message>
   <source>A duration of 0 s contains no frame.</source>
   <translation>0 s eines Clips enthalten kein Bild.</translation>
  </message>
  <message>
   <source>A face arrives</source>
   <translation>Ein Gesicht kommt an</translation>
  </message>
  <message>
   <source>A face can be placed by hand only on photos.</source>
   <translation>Nur auf Fotos wird ein Gesicht von Hand gesetzt.</translation>
  </message>
  <message>
   <source>A file with this name exists and will be replaced.</source>
   <translation>Diesen Namen gibt es schon; der alte Inhalt wird ersetzt.</translation>
  </message>
  <message>
   <source>A pet, a doll or a drawing can be animated as a photo: save a frame of the clip as an image first.</source>
   <translation>Ein Haustier, eine Puppe oder eine Zeichnung kann als Foto bewegt werden: speichern Sie zuerst ein Bild des Clips als Datei.</translation>
  </message>
  <message>
   <source>A real-time driver can't be rendered to a file.</source>
   <translation>Was in Echtzeit antreibt, lässt sich nicht in eine Datei rendern.</translation>
  </message>
  <message>
   <source>A recording is running; it is completed before the window closes.</source>
   <translation>Eine Aufnahme läuft; sie wird abgeschlossen, bevor sich das Fenster schließt.</translation>
  </message>
  <message>
   <source>A recording that was cut off before is kept as {path}.</source>
   <translation>Eine früher abgebrochene Aufnahme wurde als {path} behalten.</translation>
  </message>
  <message>
   <source>A source photographed with an open mouth starts from closed lips.</source>
   <translation>Eine Quelle mit offenem Mund beginnt mit geschlossenen Lippen.</translation>
  </message>
  <message>
   <source>A user name and password in it are used only for the connection and not saved.</source>
   <translation>Name und Passwort darin dienen nur der Verbindung und werden nicht gespeichert.</translation>
  </message>
  <message>
   <source>About</source>
   <translation>Info</translation>
  </message>
  <message>
   <source>About 500 MB, by the official documentation: 3.3, 108, 174 and 212 MB for the networks and 2.3 MB for stitching and retargeting; exact sizes are not known here. Its usual face detector (insightface packs) is non-commercial; this app uses its own. No trusted hash is known for these files: only their form is checked, and that they stay unchanged.</source>
   <translation>Etwa 500 MB, laut offizieller Beschreibung: 3,3, 108, 174 und 212 MB für die Netze und 2,3 MB für Anschluss und Angleichung; genaue Größen sind hier nicht bekannt. Der übliche Gesichtsfinder (insightface) ist nicht für gewerbliche Nutzung; dieses Programm nimmt den eigenen. Für diese Dateien ist keine Prüfsumme bekannt: Geprüft wird ihr Aufbau, und dass sie bleiben, wie sie kamen.</translation>
  </message>
  <message>
   <source>About 500 MB, by the official documentation: 3.3, 108, 174 and 212 MB for the networks and 2.3 MB for stitching and retargeting; exact sizes are not known here. Stitching and retargeting are those of the human model. No trusted hash is known for these files: only their form is checked, and that they stay unchanged.</source>
   <translation>Etwa 500 MB, laut offizieller Beschreibung: 3,3, 108, 174 und 212 MB für die Netze und 2,3 MB für Anschluss und Angleichung; genaue Größen sind hier nicht bekannt. Anschluss und Angleichung sind die des Modells für Menschen. Für diese Dateien ist keine Prüfsumme bekannt: Geprüft wird ihr Aufbau, und dass sie bleiben, wie sie kamen.</translation>
  </message>
  <message>
   <source>About Portrait Animate</source>
   <translation>Über Portrait Animate</translation>
  </message>
  <message>
   <source>Absolute motion</source>
   <translation>Absolute Bewegung</translation>
  </message>
  <message>
   <source>Accept the licence first.</source>
   <translation>Zuerst die Lizenz annehmen.</translation>
  </message>
  <message>
   <source>Access to port {port} is denied.</source>
   <translation>Port {port} darf nicht benutzt werden.</translation>
  </message>
  <message>
   <source>Access to the camera {name} is denied: {node} belongs to another group.</source>
   <translation>Die Kamera {name} darf nicht genutzt werden: {node} gehört einer anderen Gruppe.</translation>
  </message>
  <message>
   <source>Adapt the quality</source>
   <translation>Qualität anpassen</translation>
  </message>
  <message>
   <source>Adapt the size of the animated crop to hold the frame rate; otherwise frames are dropped instead.</source>
   <translation>Ändert die Größe des animierten Ausschnitts, um die Bildrate zu halten; ohne dies werden Bilder ausgelassen.</translation>
  </message>
  <message>
   <source>Add a photo or a clip on the left.</source>
   <translation>Fügen Sie links ein Foto oder einen Film hinzu.</translation>
  </message>
  <message>
   <source>Add a stream</source>
   <translation>Stream hinzufügen</translation>
  </message>
  <message>
   <source>Add as a portrait</source>
   <translation>Als Porträt hinzufügen</translation>
  </message>
  <message>
   <source>Add portraits</source>
   <translation>Porträts hinzufügen</translation>
  </message>
  <message>
   <source>Add portraits…</source>
   <translation>Porträts hinzufügen …</translation>
  </message>
  <message>
   <source>Add the driver's change from its neutral reference to the source's own pose and expression; absolute motion copies the driver's pose and expression as they are.</source>
   <translation>Fügt die Änderung des Antriebs gegenüber seiner Ruhehaltung zu Haltung und Ausdruck der Quelle hinzu; absolute Bewegung übernimmt Haltung und Ausdruck unverändert.</translation>
  </message>
  <message>
   <source>Add the microphone's sound to the recording, and to SRT, RTMP, UDP and RTP streams.</source>
   <translation>Nimmt den Ton des Mikrofons mit auf, auch in SRT-, RTMP-, UDP- und RTP-Streams.</translation>
  </message>
  <message>
   <source>Add to the portraits; clips and sounds drive</source>
   <translation>Zu den Porträts hinzufügen; Clips und Töne werden Antrieb</translation>
  </message>
  <message>
   <source>Add yourself to the group video (sudo usermod -aG video $USER) and log in again.</source>
   <translation>In die Gruppe video eintragen (sudo usermod -aG video $USER) und neu anmelden.</translation>
  </message>
  <message>
   <source>Add {option:animals}, or set the crop with {option:crop}.</source>
   <translation>{option:animals} hinzufügen, oder den Ausschnitt mit {option:crop} angeben.</translation>
  </message>
  <message>
   <source>Add {option:crop} x,y,size (centre and side in pixels), {option:landmarks} FILE (`animate landmarks PHOTO` creates it), or {option:points} FILE; the official detector of animal faces needs a CUDA build and is not part of this program.</source>
   <translation>Geben Sie {option:crop} x,y,Größe an (Mitte und Seite in Pixeln), {option:landmarks} DATEI (`animate landmarks FOTO` beginnt sie) oder {option:points} DATEI; der offizielle Finder für Tiergesichter braucht einen CUDA-Bau und ist nicht Teil dieses Programms.</translation>
  </message>
  <message>
   <source>Add {option:max_side} {side}, or leave the comparison out.</source>
   <translation>{option:max_side} {side} hinzufügen oder den Vergleich weglassen.</translation>
  </message>
  <message>
   <source>Add {option:overwrite} to replace it, or choose another name.</source>
   <translation>{option:overwrite} ersetzt sie; oder einen anderen Namen wählen.</translation>
  </message>
  <message>
   <source>Add {option:overwrite} to replace it.</source>
   <translation>{option:overwrite} angeben, um es zu ersetzen.</translation>
  </message>
  <message>
   <source>All drivers</source>
   <translation>Alle Antriebe</translation>
  </message>
  <message>
   <source>All faces</source>
   <translation>Alle Gesichter</translation>
  </message>
  <message>
   <source>All files</source>
   <translation>Alle Dateien</translation>
  </message>
  <message>
   <source>All images of a sequence must have the same size.</source>
   <translation>Alle Bilder einer Folge müssen gleich groß sein.</translation>
  </message>
  <message>
   <source>Also write a clip that shows driving, source and result next to each other.</source>
   <translation>Schreibt auch ein Video, das Antrieb, Quelle und Ergebnis nebeneinander zeigt.</translation>
  </message>
  <message>
   <source>Amount of idle motion, from 0 to 1, of a face without a driving clip: it nods, blinks and looks around. The default is {lively} with a voice; 0 moves only the mouth. Without a driving file the portrait idles for 10 s, or for {option:duration}, in a seamless loop.</source>
   <translation>Wie lebhaft ein Gesicht ohne treibendes Video ist, von 0 bis 1: Es nickt, blinzelt und schaut umher. Mit einer Stimme ist der Standard {lively}; 0 bewegt nur den Mund. Ohne Antrieb bewegt sich das Porträt 10 s oder so lange wie {option:duration}, in einer nahtlosen Schleife.</translation>
  </message>
  <message>
   <source>An image must be uint8, (height, width, 3 or 4) in RGB or RGBA or (height, width) in grey, not {shape} {dtype}.</source>
   <translation>Ein Bild muss uint8 sein, (Höhe, Breite, 3 oder 4) in RGB oder RGBA oder (Höhe, Breite) in Grau, nicht {shape} {dtype}.</translation>
  </message>
  <message>
   <source>Angle</source>
   <translation>Winkel</translation>
  </message>
  <message>
   <source>Angry</source>
   <translation>Wütend</translation>
  </message>
  <message>
   <source>Animal points</source>
   <translation>Tierpunkte</translation>
  </message>
  <message>
   <source>Animals</source>
   <translation>Tiere</translation>
  </message>
  <message>
   <source>Animate people only with their consent, and say that the results are synthetic. Files are marked as made by AI unless you switch that off under Output.</source>
   <translation>Bewegen Sie Menschen nur mit deren Einverständnis, und sagen Sie, dass die Ergebnisse künstlich sind. Dateien werden als von KI erzeugt gekennzeichnet, solange Sie das unter Ausgabe nicht abschalten.</translation>
  </message>
  <message>
   <source>Animate this face of the source with its own clip, template or sound, such as left=mum.mp4; the faces that {option:face} names follow the driving file. May be given several times; job files take a list.</source>
   <translation>Dieses Gesicht der Quelle mit einem eigenen Clip, einer Vorlage oder einem Ton animieren, etwa left=mama.mp4; die Gesichter, die {option:face} nennt, folgen dem Antrieb. Mehrfach erlaubt; Auftragsdateien nehmen eine Liste.</translation>
  </message>
  <message>
   <source>Animated crop: {size} px</source>
   <translation>Animierter Ausschnitt: {size} px</translation>
  </message>
  <message>
   <source>Another driver was chosen.</source>
   <translation>Es wurde ein anderer Antrieb gewählt.</translation>
  </message>
  <message>
   <source>Another program may be using it.</source>
   <translation>Vielleicht benutzt ihn ein anderes Programm.</translation>
  </message>
  <message>
   <source>Another program may be using it; close that program.</source>
   <translation>Vielleicht benutzt sie ein anderes Programm: dieses bitte schließen.</translation>
  </message>
  <message>
   <source>Anyone on the network can watch it there.</source>
   <translation>Alle im Netzwerk können es dort sehen.</translation>
  </message>
  <message>
   <source>Appearance</source>
   <translation>Aussehen</translation>
  </message>
  <message>
   <source>Arithmetic of the LivePortrait networks: {setting:auto} uses half precision on a graphics card and full precision on the CPU. Half precision is used only if a self-test finds that it draws the same image.</source>
   <translation>Genauigkeit der LivePortrait-Netze: {setting:auto} nimmt auf der Grafikkarte die halbe und auf der CPU die volle. Die halbe wird nur verwendet, wenn ein Selbsttest dasselbe Bild ergibt.</translation>
  </message>
  <message>
   <source>Arrow keys select a portrait, Delete removes it.</source>
   <translation>Pfeiltasten wählen ein Porträt, Entf entfernt es.</translation>
  </message>
  <message>
   <source>As one numbered sequence</source>
   <translation>Als eine nummerierte Folge</translation>
  </message>
  <message>
   <source>As portraits</source>
   <translation>Als Porträts</translation>
  </message>
  <message>
   <source>As the driver</source>
   <translation>Wie der Antrieb</translation>
  </message>
  <message>
   <source>As the system</source>
   <translation>Wie das System</translation>
  </message>
  <message>
   <source>Ask for at most {most}x{most2}, or for numbered images, such as shot-%05d.png.</source>
   <translation>Höchstens {most}x{most2} verlangen, oder nummerierte Bilder wie shot-%05d.png.</translation>
  </message>
  <message>
   <source>Ask the camera for MJPG; most cameras reach 30 frames/s only with it.</source>
   <translation>Von der Kamera MJPG verlangen; die meisten schaffen nur damit 30 Bilder pro Sekunde.</translation>
  </message>
  <message>
   <source>Automatic: the best one that works here</source>
   <translation>Automatisch: die beste, die hier läuft</translation>
  </message>
  <message>
   <source>Background</source>
   <translation>Hintergrund</translation>
  </message>
  <message>
   <source>Background behind the people: {setting:keep} (the source's own), {setting:blur} (the source's own, out of focus), a colour as #rrggbb, the name of an image, or {setting:transparent}, which not every format supports. All except {setting:keep} cut the people out.</source>
   <translation>Was hinter den Personen liegt: {setting:keep} (der Hintergrund der Quelle), {setting:blur} (derselbe unscharf), eine Farbe als #rrggbb, der Name eines Bildes oder {setting:transparent}, was nicht jedes Format kann. Alle außer {setting:keep} stellen die Personen frei.</translation>
  </message>
  <message>
   <source>Begin the part here</source>
   <translation>Ausschnitt hier beginnen</translation>
  </message>
  <message>
   <source>Begin the pattern with the folder that holds the files.</source>
   <translation>Das Muster mit dem Ordner beginnen, der die Dateien enthält.</translation>
  </message>
  <message>
   <source>Bit rate</source>
   <translation>Bitrate</translation>
  </message>
  <message>
   <source>Blink</source>
   <translation>Blinzeln</translation>
  </message>
  <message>
   <source>Both eyes look to the right of the image.</source>
   <translation>Beide Augen blicken nach rechts im Bild.</translation>
  </message>
  <message>
   <source>Both eyes look up.</source>
   <translation>Beide Augen blicken nach oben.</translation>
  </message>
  <message>
   <source>Brows</source>
   <translation>Brauen</translation>
  </message>
  <message>
   <source>CPU threads for the engine; 0 lets it choose.</source>
   <translation>CPU-Threads der Engine; 0 überlässt ihr die Wahl.</translation>
  </message>
  <message>
   <source>CPU {percent} %</source>
   <translation>CPU {percent} %</translation>
  </message>
  <message>
   <source>Camera</source>
   <translation>Kamera</translation>
  </message>
  <message>
   <source>Camera rate</source>
   <translation>Kamerarate</translation>
  </message>
  <message>
   <source>Camera size</source>
   <translation>Kameragröße</translation>
  </message>
  <message>
   <source>Camera {name} stopped delivering frames.</source>
   <translation>Die Kamera {name} liefert keine Bilder mehr.</translation>
  </message>
  <message>
   <source>Cameras</source>
   <translation>Kameras</translation>
  </message>
  <message>
   <source>Can't listen on {place}: {reason}.</source>
   <translation>An {place} kann nicht empfangen werden: {reason}.</translation>
  </message>
  <message>
   <source>Cancel</source>
   <translation>Abbrechen</translation>
  </message>
  <message>
   <source>Capturing the neutral pose now.</source>
   <translation>Die Ruhehaltung wird jetzt genommen.</translation>
  </message>
  <message>
   <source>Centre of the crop, from the left edge of the image</source>
   <translation>Mitte des Ausschnitts, vom linken Rand des Bildes</translation>
  </message>
  <message>
   <source>Centre of the crop, from the top edge of the image</source>
   <translation>Mitte des Ausschnitts, vom oberen Rand des Bildes</translation>
  </message>
  <message>
   <source>Centre x</source>
   <translation>Mitte x</translation>
  </message>
  <message>
   <source>Centre y</source>
   <translation>Mitte y</translation>
  </message>
  <message>
   <source>Certificate</source>
   <translation>Zertifikat</translation>
  </message>
  <message>
   <source>Channels go from 1 to 16, controllers from 0 to 127.</source>
   <translation>Kanäle gehen von 1 bis 16, Controller von 0 bis 127.</translation>
  </message>
  <message>
   <source>Check `ray status`; the jobs stay in the queue.</source>
   <translation>`ray status` ansehen; die Aufträge bleiben in der Warteschlange.</translation>
  </message>
  <message>
   <source>Check that it is still plugged in.</source>
   <translation>Prüfen, ob sie noch angeschlossen ist.</translation>
  </message>
  <message>
   <source>Check that the URL is right and the camera is on.</source>
   <translation>Prüfen, ob die Adresse stimmt und die Kamera an ist.</translation>
  </message>
  <message>
   <source>Check that the camera is on and in this network.</source>
   <translation>Prüfen, ob die Kamera an und in diesem Netz ist.</translation>
  </message>
  <message>
   <source>Check that the graphics card can share images.</source>
   <translation>Prüfen Sie, ob die Grafikkarte Bilder teilen kann.</translation>
  </message>
  <message>
   <source>Check the name.</source>
   <translation>Den Namen prüfen.</translation>
  </message>
  <message>
   <source>Checking the size…</source>
   <translation>Die Größe wird erfragt…</translation>
  </message>
  <message>
   <source>Checking what is installed…</source>
   <translation>Die Installation wird geprüft …</translation>
  </message>
  <message>
   <source>Chin</source>
   <translation>Kinn</translation>
  </message>
  <message>
   <source>Choose a clip</source>
   <translation>Video wählen</translation>
  </message>
  <message>
   <source>Choose a clip or a sound</source>
   <translation>Clip oder Ton wählen</translation>
  </message>
  <message>
   <source>Choose a clip such as MP4, MOV, MKV, WebM, AVI or GIF.</source>
   <translation>Einen Clip wie MP4, MOV, MKV, WebM, AVI oder GIF wählen.</translation>
  </message>
  <message>
   <source>Choose a clip with video.</source>
   <translation>Einen Clip mit Bild wählen.</translation>
  </message>
  <message>
   <source>Choose a clip, a folder of images or a pattern like %04d.png.</source>
   <translation>Einen Clip, einen Ordner mit Bildern oder ein Muster wie %04d.png wählen.</translation>
  </message>
  <message>
   <source>Choose a clip…</source>
   <translation>Video wählen …</translation>
  </message>
  <message>
   <source>Choose a colour</source>
   <translation>Farbe wählen</translation>
  </message>
  <message>
   <source>Choose a driver</source>
   <translation>Antrieb wählen</translation>
  </message>
  <message>
   <source>Choose a driver below the portraits: a clip, a camera, an image, a voice, or sliders.</source>
   <translation>Wählen Sie unter den Porträts einen Antrieb: einen Clip, eine Kamera, ein Bild, eine Stimme oder Regler.</translation>
  </message>
  <message>
   <source>Choose a file in it.</source>
   <translation>Eine Datei darin nennen.</translation>
  </message>
  <message>
   <source>Choose a file name that ends in {suffix}.</source>
   <translation>Wählen Sie einen Dateinamen, der auf {suffix} endet.</translation>
  </message>
  <message>
   <source>Choose a file that ends in {ending}.</source>
   <translation>Wählen Sie eine Datei, die auf {ending} endet.</translation>
  </message>
  <message>
   <source>Choose a file with speech in it.</source>
   <translation>Eine Datei mit Sprache wählen.</translation>
  </message>
  <message>
   <source>Choose a file…</source>
   <translation>Datei wählen …</translation>
  </message>
  <message>
   <source>Choose a name such as shot-%05d.png.</source>
   <translation>Einen Namen wie shot-%05d.png wählen.</translation>
  </message>
  <message>
   <source>Choose a name that does, or another codec.</source>
   <translation>Einen Namen wählen, zu dem er passt, oder einen anderen Codec.</translation>
  </message>
  <message>
   <source>Choose a photo, such as a PNG or JPEG file.</source>
   <translation>Wählen Sie ein Foto, etwa eine PNG- oder JPEG-Datei.</translation>
  </message>
  <message>
   <source>Choose a port from 1024 up.</source>
   <translation>Einen ab 1024 wählen.</translation>
  </message>
  <message>
   <source>Choose a shorter name.</source>
   <translation>Wählen Sie einen kürzeren Namen.</translation>
  </message>
  <message>
   <source>Choose a shorter one.</source>
   <translation>Wählen Sie einen kürzeren.</translation>
  </message>
  <message>
   <source>Choose a voice or template</source>
   <translation>Stimme oder Vorlage wählen</translation>
  </message>
  <message>
   <source>Choose a voice or template…</source>
   <translation>Stimme oder Vorlage wählen …</translation>
  </message>
  <message>
   <source>Choose an earlier start.</source>
   <translation>Einen früheren Anfang wählen.</translation>
  </message>
  <message>
   <source>Choose an image</source>
   <translation>Bild wählen</translation>
  </message>
  <message>
   <source>Choose an image or a clip.</source>
   <translation>Wählen Sie ein Bild oder ein Video.</translation>
  </message>
  <message>
   <source>Choose an image…</source>
   <translation>Bild wählen …</translation>
  </message>
  <message>
   <source>Choose another camera as the driver.</source>
   <translation>Wählen Sie eine andere Kamera als Antrieb.</translation>
  </message>
  <message>
   <source>Choose another camera.</source>
   <translation>Wählen Sie eine andere Kamera.</translation>
  </message>
  <message>
   <source>Choose another file with --queue or the variable PORTRAIT_ANIMATE_QUEUE.</source>
   <translation>Wählen Sie mit --queue oder der Variablen PORTRAIT_ANIMATE_QUEUE eine andere Datei.</translation>
  </message>
  <message>
   <source>Choose another file with --queue.</source>
   <translation>Wählen Sie mit --queue eine andere Datei.</translation>
  </message>
  <message>
   <source>Choose another name.</source>
   <translation>Einen anderen Namen wählen.</translation>
  </message>
  <message>
   <source>Choose another output name.</source>
   <translation>Einen anderen Namen für die Ausgabe wählen.</translation>
  </message>
  <message>
   <source>Choose face</source>
   <translation>Gesicht wählen</translation>
  </message>
  <message>
   <source>Clear</source>
   <translation>Leeren</translation>
  </message>
  <message>
   <source>Clear finished</source>
   <translation>Erledigte entfernen</translation>
  </message>
  <message>
   <source>Click a keyframe to select it, drag to move it, double-click to set one. Delete removes the selected one.</source>
   <translation>Ein Klick wählt ein Schlüsselbild, Ziehen verschiebt es, ein Doppelklick setzt eines. Entf löscht das gewählte.</translation>
  </message>
  <message>
   <source>Click here and press the new keys.</source>
   <translation>Hier klicken und die neuen Tasten drücken.</translation>
  </message>
  <message>
   <source>Clip</source>
   <translation>Video</translation>
  </message>
  <message>
   <source>Clips</source>
   <translation>Clips</translation>
  </message>
  <message>
   <source>Clips and images</source>
   <translation>Videos und Bilder</translation>
  </message>
  <message>
   <source>Clips and motion templates</source>
   <translation>Clips und Bewegungsvorlagen</translation>
  </message>
  <message>
   <source>Clips and sounds</source>
   <translation>Clips und Töne</translation>
  </message>
  <message>
   <source>Close both eyes; below 0 opens them wide.</source>
   <translation>Schließt beide Augen; unter 0 öffnet sie weit.</translation>
  </message>
  <message>
   <source>Close other programs that write to it, then try again.</source>
   <translation>Andere Programme schließen, die in sie schreiben, dann noch einmal versuchen.</translation>
  </message>
  <message>
   <source>Close that program, or choose another port here and in the app.</source>
   <translation>Beenden Sie dieses Programm oder wählen Sie hier und in der App einen anderen Port.</translation>
  </message>
  <message>
   <source>Close that program, or choose another port.</source>
   <translation>Beenden Sie dieses Programm oder wählen Sie einen anderen Port.</translation>
  </message>
  <message>
   <source>Close the eye on the left of the image.</source>
   <translation>Schließt das Auge links im Bild.</translation>
  </message>
  <message>
   <source>Close the eye on the right of the image.</source>
   <translation>Schließt das Auge rechts im Bild.</translation>
  </message>
  <message>
   <source>Close the message</source>
   <translation>Meldung schließen</translation>
  </message>
  <message>
   <source>Close the source's lips first</source>
   <translation>Lippen der Quelle erst schließen</translation>
  </message>
  <message>
   <source>Codec</source>
   <translation>Codec</translation>
  </message>
  <message>
   <source>Colour of borders, and of transparent parts if the output has no transparency, as #rrggbb. Default: the colour given by {option:background}, green (#00ff00) if that is transparent, and white otherwise.</source>
   <translation>Farbe der Ränder und der transparenten Teile, wenn die Ausgabe keine Transparenz kennt, als #rrggbb. Ohne Angabe: die Farbe von {option:background}, Grün (#00ff00), wenn dieser transparent ist, sonst Weiß.</translation>
  </message>
  <message>
   <source>Colour…</source>
   <translation>Farbe …</translation>
  </message>
  <message>
   <source>Complete it</source>
   <translation>Vervollständigen</translation>
  </message>
  <message>
   <source>Compressed images</source>
   <translation>Komprimierte Bilder</translation>
  </message>
  <message>
   <source>Compute motion as the official LivePortrait release does, including its quirks; docs/differences.md lists them.</source>
   <translation>Berechnet die Bewegung wie die offizielle LivePortrait-Version, mit ihren Eigenheiten; docs/differences.md zählt sie auf.</translation>
  </message>
  <message>
   <source>Connect</source>
   <translation>Verbinden</translation>
  </message>
  <message>
   <source>Connect a camera and look again, or choose a clip.</source>
   <translation>Schließen Sie eine Kamera an und suchen Sie erneut, oder wählen Sie einen Clip.</translation>
  </message>
  <message>
   <source>Connect one and look again, or choose a clip.</source>
   <translation>Eine anschließen und neu suchen, oder ein Video wählen.</translation>
  </message>
  <message>
   <source>Connect one, allow its use, or record without it.</source>
   <translation>Eines anschließen, seine Nutzung erlauben, oder ohne aufnehmen.</translation>
  </message>
  <message>
   <source>Connect one, or name a video file as the camera.</source>
   <translation>Eine anschließen, oder eine Videodatei als Kamera nennen.</translation>
  </message>
  <message>
   <source>Consent</source>
   <translation>Einverständnis</translation>
  </message>
  <message>
   <source>Continue</source>
   <translation>Fortsetzen</translation>
  </message>
  <message>
   <source>Continuing with {size} workers because {why}.</source>
   <translation>Es geht mit {size} Arbeitern weiter, weil {why}.</translation>
  </message>
  <message>
   <source>Controllers</source>
   <translation>Controller</translation>
  </message>
  <message>
   <source>Copied</source>
   <translation>Kopiert</translation>
  </message>
  <message>
   <source>Copy</source>
   <translation>Kopieren</translation>
  </message>
  <message>
   <source>Copy it here, or name it by its path.</source>
   <translation>Kopieren Sie sie hierher oder nennen Sie ihren Pfad.</translation>
  </message>
  <message>
   <source>Copy or download it again.</source>
   <translation>Neu kopieren oder herunterladen.</translation>
  </message>
  <message>
   <source>Copy or export it again.</source>
   <translation>Neu kopieren oder exportieren.</translation>
  </message>
  <message>
   <source>Copy report</source>
   <translation>Bericht kopieren</translation>
  </message>
  <message>
   <source>Copy the expression in an image.</source>
   <translation>Übernimmt den Ausdruck in einem Bild.</translation>
  </message>
  <message>
   <source>Copy this image</source>
   <translation>Dieses Bild kopieren</translation>
  </message>
  <message>
   <source>Create it first or choose another folder.</source>
   <translation>Erst anlegen, oder einen anderen Ort wählen.</translation>
  </message>
  <message>
   <source>Crop</source>
   <translation>Ausschnitt</translation>
  </message>
  <message>
   <source>Crop and face</source>
   <translation>Ausschnitt und Gesicht</translation>
  </message>
  <message>
   <source>Crop and face…</source>
   <translation>Ausschnitt und Gesicht …</translation>
  </message>
  <message>
   <source>Crop for the engine</source>
   <translation>Was die Engine bekommt</translation>
  </message>
  <message>
   <source>Crop scale</source>
   <translation>Größe des Ausschnitts</translation>
  </message>
  <message>
   <source>Crop shift x</source>
   <translation>Ausschnitt nach rechts</translation>
  </message>
  <message>
   <source>Crop shift y</source>
   <translation>Ausschnitt nach unten</translation>
  </message>
  <message>
   <source>Dark</source>
   <translation>Dunkel</translation>
  </message>
  <message>
   <source>Delete</source>
   <translation>Löschen</translation>
  </message>
  <message>
   <source>Delete the selected keyframe</source>
   <translation>Gewähltes Schlüsselbild löschen</translation>
  </message>
  <message>
   <source>Develop it to JPEG, PNG or TIFF first.</source>
   <translation>Entwickle es zuerst zu JPEG, PNG oder TIFF.</translation>
  </message>
  <message>
   <source>Device</source>
   <translation>Gerät</translation>
  </message>
  <message>
   <source>Device that the engine runs on</source>
   <translation>Wo die Engine rechnet</translation>
  </message>
  <message>
   <source>Did you mean {near}?</source>
   <translation>War {near} gemeint?</translation>
  </message>
  <message>
   <source>Did you mean {one}?</source>
   <translation>War {one} gemeint?</translation>
  </message>
  <message>
   <source>Did you mean {{{near}}}?</source>
   <translation>War {{{near}}} gemeint?</translation>
  </message>
  <message>
   <source>Double-click resets it.</source>
   <translation>Doppelklick setzt zurück.</translation>
  </message>
  <message>
   <source>Download</source>
   <translation>Herunterladen</translation>
  </message>
  <message>
   <source>Download it first, then give the name of the file.</source>
   <translation>Laden Sie die Datei herunter und nennen Sie dann ihren Namen.</translation>
  </message>
  <message>
   <source>Download or import them under "Model weights" in the menu.</source>
   <translation>„Modellgewichte“ im Menü holt sie.</translation>
  </message>
  <message>
   <source>Download {size}</source>
   <translation>{size} laden</translation>
  </message>
  <message>
   <source>Downloads continue when this window is closed; stopped ones can be resumed later.</source>
   <translation>Es wird weiter geladen, wenn dieses Fenster zu ist; Angehaltenes lässt sich später fortsetzen.</translation>
  </message>
  <message>
   <source>Download…</source>
   <translation>Laden…</translation>
  </message>
  <message>
   <source>Draw the brows together.</source>
   <translation>Zieht die Brauen zusammen.</translation>
  </message>
  <message>
   <source>Draw the mouth wide; below 0 makes it narrow.</source>
   <translation>Zieht den Mund breit; unter 0 macht ihn schmal.</translation>
  </message>
  <message>
   <source>Drive by voice</source>
   <translation>Mit der Stimme antreiben</translation>
  </message>
  <message>
   <source>Driver</source>
   <translation>Antrieb</translation>
  </message>
  <message>
   <source>Driver for a face</source>
   <translation>Antrieb eines Gesichts</translation>
  </message>
  <message>
   <source>Drivers for parts of the face</source>
   <translation>Antriebe einzelner Teile</translation>
  </message>
  <message>
   <source>Driving duration</source>
   <translation>Dauer des Antriebs</translation>
  </message>
  <message>
   <source>Driving end</source>
   <translation>Ende des Antriebs</translation>
  </message>
  <message>
   <source>Driving face</source>
   <translation>Gesicht im Antrieb</translation>
  </message>
  <message>
   <source>Driving frame {index}, the neutral reference, is far from neutral ({pose_text}); frame {best} is the most neutral one ({option:reference=auto}).</source>
   <translation>Antriebsbild {index}, die neutrale Referenz, ist weit von neutral entfernt ({pose_text}); Bild {best} ist das neutralste ({option:reference=auto}).</translation>
  </message>
  <message>
   <source>Driving multiplier</source>
   <translation>Stärke der Bewegung</translation>
  </message>
  <message>
   <source>Driving start</source>
   <translation>Beginn des Antriebs</translation>
  </message>
  <message>
   <source>Drop a photo here</source>
   <translation>Foto hier ablegen</translation>
  </message>
  <message>
   <source>Drop a photo or a clip on the window, paste one, or press the plus sign.</source>
   <translation>Ziehen Sie ein Foto oder einen Clip auf das Fenster, fügen Sie eines ein oder drücken Sie das Pluszeichen.</translation>
  </message>
  <message>
   <source>Drop photos here, or paste one</source>
   <translation>Fotos hierher ziehen oder einfügen</translation>
  </message>
  <message>
   <source>E</source>
   <translation>E</translation>
  </message>
  <message>
   <source>Each face can follow its own clip, image or template.</source>
   <translation>Jedes Gesicht kann einem eigenen Clip, Bild oder einer eigenen Bewegungsvorlage folgen.</translation>
  </message>
  <message>
   <source>Each part can follow its own clip or template.</source>
   <translation>Jeder Teil kann einem eigenen Clip oder einer eigenen Vorlage folgen.</translation>
  </message>
  <message>
   <source>Earlier</source>
   <translation>Früher</translation>
  </message>
  <message>
   <source>Ease cuts</source>
   <translation>Schnitte ausgleichen</translation>
  </message>
  <message>
   <source>Edit</source>
   <translation>Bearbeiten</translation>
  </message>
  <message>
   <source>Encode on the graphics card: {setting:auto} uses its encoder if one works here, {setting:none} never does.</source>
   <translation>Auf der Grafikkarte kodieren: {setting:auto} nimmt ihren Encoder, wenn er hier läuft, {setting:none} nie.</translation>
  </message>
  <message>
   <source>Encoders</source>
   <translation>Kodierer</translation>
  </message>
  <message>
   <source>End it in {names}.</source>
   <translation>Als Endung {names} nehmen.</translation>
  </message>
  <message>
   <source>End it in {suffix}.</source>
   <translation>Als Endung {suffix} nehmen.</translation>
  </message>
  <message>
   <source>End of the part of a source clip to use.</source>
   <translation>Ende des benutzten Teils eines Quellvideos.</translation>
  </message>
  <message>
   <source>End of the part of the driving clip to use.</source>
   <translation>Ende des benutzten Teils des treibenden Videos.</translation>
  </message>
  <message>
   <source>End the name in .mp4, or write {stem}-%05d{suffix} for numbered images.</source>
   <translation>Den Namen auf .mp4 enden lassen, oder {stem}-%05d{suffix} für nummerierte Bilder schreiben.</translation>
  </message>
  <message>
   <source>End the name in {what}.</source>
   <translation>Der Name muss auf {what} enden.</translation>
  </message>
  <message>
   <source>End the part here</source>
   <translation>Ausschnitt hier beenden</translation>
  </message>
  <message>
   <source>Engine</source>
   <translation>Engine</translation>
  </message>
  <message>
   <source>Engine and device</source>
   <translation>Engine und Gerät</translation>
  </message>
  <message>
   <source>Engine and device…</source>
   <translation>Engine und Gerät …</translation>
  </message>
  <message>
   <source>Engine that renders the portrait</source>
   <translation>Was das Porträt zeichnet</translation>
  </message>
  <message>
   <source>Engines</source>
   <translation>Engines</translation>
  </message>
  <message>
   <source>Error</source>
   <translation>Fehler</translation>
  </message>
  <message>
   <source>Export expression</source>
   <translation>Ausdruck exportieren</translation>
  </message>
  <message>
   <source>Export expression…</source>
   <translation>Ausdruck exportieren …</translation>
  </message>
  <message>
   <source>Export it again.</source>
   <translation>Neu exportieren.</translation>
  </message>
  <message>
   <source>Export preset</source>
   <translation>Voreinstellung exportieren</translation>
  </message>
  <message>
   <source>Export preset…</source>
   <translation>Voreinstellung exportieren …</translation>
  </message>
  <message>
   <source>Expression</source>
   <translation>Ausdruck</translation>
  </message>
  <message>
   <source>Expression from</source>
   <translation>Ausdruck von</translation>
  </message>
  <message>
   <source>Expression from {name}</source>
   <translation>Ausdruck von {name}</translation>
  </message>
  <message>
   <source>Expression only, the head keeps its pose.</source>
   <translation>Nur der Ausdruck, der Kopf behält seine Haltung.</translation>
  </message>
  <message>
   <source>Expression tracks</source>
   <translation>Ausdrucksspuren</translation>
  </message>
  <message>
   <source>Expression {name}</source>
   <translation>Ausdruck {name}</translation>
  </message>
  <message>
   <source>Expressions</source>
   <translation>Ausdrücke</translation>
  </message>
  <message>
   <source>Eye gain</source>
   <translation>Augenverstärkung</translation>
  </message>
  <message>
   <source>Eye retargeting</source>
   <translation>Augen angleichen</translation>
  </message>
  <message>
   <source>Eyes</source>
   <translation>Augen</translation>
  </message>
  <message>
   <source>Eyes from</source>
   <translation>Augen von</translation>
  </message>
  <message>
   <source>Eyes from {name}</source>
   <translation>Augen von {name}</translation>
  </message>
  <message>
   <source>Face</source>
   <translation>Gesicht</translation>
  </message>
  <message>
   <source>Face detector</source>
   <translation>Gesichtsfinder</translation>
  </message>
  <message>
   <source>Face detector: embedded, insightface (if you have installed its models), auto (insightface if installed), detect/NAME, such as detect/osa_nano, or the path of an .onnx file from tools/train_detector.py. If it finds no face, the embedded one is tried.</source>
   <translation>Womit Gesichter gefunden werden: embedded (eingebaut), insightface (wenn Sie dessen Modelle dort abgelegt haben), auto (insightface, wenn sie da sind), detect/NAME, etwa detect/osa_nano, oder der Pfad einer .onnx-Datei aus tools/train_detector.py. Wo nichts gefunden wird, sucht das eingebaute.</translation>
  </message>
  <message>
   <source>Face driver {name}</source>
   <translation>Antrieb eines Gesichts {name}</translation>
  </message>
  <message>
   <source>Face placed by hand</source>
   <translation>Von Hand platziertes Gesicht</translation>
  </message>
  <message>
   <source>Face {choice} does not exist; {count}, counted from 1 in order of size.</source>
   <translation>Gesicht {choice} gibt es nicht; {count}, gezählt ab 1 nach der Größe.</translation>
  </message>
  <message>
   <source>Face {number}</source>
   <translation>Gesicht {number}</translation>
  </message>
  <message>
   <source>Faces found: {count}</source>
   <translation>Gefundene Gesichter: {count}</translation>
  </message>
  <message>
   <source>Faces that move</source>
   <translation>Bewegte Gesichter</translation>
  </message>
  <message>
   <source>Failed</source>
   <translation>Fehlgeschlagen</translation>
  </message>
  <message>
   <source>File</source>
   <translation>Datei</translation>
  </message>
  <message>
   <source>File of the driver: {name}</source>
   <translation>Datei des Antriebs: {name}</translation>
  </message>
  <message>
   <source>Files are being rendered: {count}. They can be finished in the background; stopped jobs can be resumed at the next start.</source>
   <translation>Es werden noch Dateien gerendert: {count}. Sie können im Hintergrund fertig werden; was angehalten wird, wartet auf den nächsten Start.</translation>
  </message>
  <message>
   <source>Fill colour</source>
   <translation>Füllfarbe</translation>
  </message>
  <message>
   <source>Find the crop from the face instead of setting it by hand.</source>
   <translation>Den Ausschnitt aus dem Gesicht bestimmen, statt ihn von Hand zu setzen.</translation>
  </message>
  <message>
   <source>Finish in the background</source>
   <translation>Im Hintergrund fertigstellen</translation>
  </message>
  <message>
   <source>Finish the running job, and pause the others</source>
   <translation>Den laufenden Auftrag fertig werden lassen und die anderen zurückhalten</translation>
  </message>
  <message>
   <source>Fit</source>
   <translation>Einpassen</translation>
  </message>
  <message>
   <source>Folder</source>
   <translation>Ordner</translation>
  </message>
  <message>
   <source>Folder with the weights</source>
   <translation>Ordner mit den Gewichten</translation>
  </message>
  <message>
   <source>Folder {folder} can't be written to: {what}.</source>
   <translation>In den Ordner {folder} kann nicht geschrieben werden: {what}.</translation>
  </message>
  <message>
   <source>Folder {parent} does not exist.</source>
   <translation>Den Ordner {parent} gibt es nicht.</translation>
  </message>
  <message>
   <source>Folders</source>
   <translation>Ordner</translation>
  </message>
  <message>
   <source>Follow a camera in real time.</source>
   <translation>Eine Kamera treibt in Echtzeit an.</translation>
  </message>
  <message>
   <source>Follow a phone or tracking app (OSC, Live Link Face, iFacialMocap).</source>
   <translation>Folgt einem Telefon oder einer Tracking-App (OSC, Live Link Face, iFacialMocap).</translation>
  </message>
  <message>
   <source>Follow a video, played in a loop.</source>
   <translation>Ein Video treibt an; es läuft in einer Schleife.</translation>
  </message>
  <message>
   <source>Follow the face</source>
   <translation>Dem Gesicht folgen</translation>
  </message>
  <message>
   <source>For a pet, a doll or a drawing, place the face by hand, starting with `animate landmarks PHOTO`.</source>
   <translation>Auf einem Haustier, einer Puppe oder einer Zeichnung setzen Sie das Gesicht von Hand: `animate landmarks FOTO` beginnt es.</translation>
  </message>
  <message>
   <source>For a pet, a doll or a drawing: drag the handles to eyes, nose, mouth and outline.</source>
   <translation>Für ein Haustier, eine Puppe oder eine Zeichnung: ziehen Sie die Griffe auf Augen, Nase, Mund und Umriss.</translation>
  </message>
  <message>
   <source>Frame rate</source>
   <translation>Bildrate</translation>
  </message>
  <message>
   <source>Frame rate of streams; mjpeg sends frames as they arrive.</source>
   <translation>Bilder pro Sekunde der Streams; mjpeg sendet Bilder, wie sie kommen.</translation>
  </message>
  <message>
   <source>Frame rate of the result, such as 25, 29.97 or 30000/1001. Without it every frame keeps the time stamp that it has in the input.</source>
   <translation>Bildrate des Ergebnisses, etwa 25, 29.97 oder 30000/1001. Ohne Angabe behält jedes Bild seinen Zeitstempel.</translation>
  </message>
  <message>
   <source>Frame rate of the virtual camera.</source>
   <translation>Bilder pro Sekunde der virtuellen Kamera.</translation>
  </message>
  <message>
   <source>Frame rate to request from the camera, or to play a file at; 0 uses the camera's default, or the file's own time stamps.</source>
   <translation>Bilder pro Sekunde, die von der Kamera verlangt werden oder mit denen eine Datei läuft; 0 überlässt es der Kamera oder nimmt die Zeitstempel der Datei.</translation>
  </message>
  <message>
   <source>Frame rate, and delay from capture to screen</source>
   <translation>Bilder je Sekunde, und die Verzögerung von der Aufnahme bis zum Schirm</translation>
  </message>
  <message>
   <source>Frame that relative motion is measured from: auto (the most neutral one of each shot), first, or a frame number counted from 0.</source>
   <translation>Bild, von dem aus relative Bewegung gemessen wird: auto (das neutralste jeder Einstellung), first (das erste) oder eine Bildnummer ab 0.</translation>
  </message>
  <message>
   <source>Frame {number} of {count}</source>
   <translation>Bild {number} von {count}</translation>
  </message>
  <message>
   <source>Free some space, or set the variable TMPDIR to a writable folder.</source>
   <translation>Platz schaffen, oder in der Variablen TMPDIR einen Ordner nennen, in den geschrieben werden kann.</translation>
  </message>
  <message>
   <source>Free some space, or set the variable TMPDIR to another folder.</source>
   <translation>Platz schaffen, oder in der Variablen TMPDIR einen anderen Ordner dafür nennen.</translation>
  </message>
  <message>
   <source>From a phone</source>
   <translation>Vom Telefon</translation>
  </message>
  <message>
   <source>Frown</source>
   <translation>Stirnrunzeln</translation>
  </message>
  <message>
   <source>Full screen</source>
   <translation>Vollbild</translation>
  </message>
  <message>
   <source>GPU {size} GB</source>
   <translation>GPU {size} GB</translation>
  </message>
  <message>
   <source>Give a file name with -o.</source>
   <translation>Geben Sie mit -o einen Dateinamen an.</translation>
  </message>
  <message>
   <source>Give a file name.</source>
   <translation>Geben Sie einen Dateinamen an.</translation>
  </message>
  <message>
   <source>Give a file on this computer.</source>
   <translation>Geben Sie eine Datei auf diesem Rechner an.</translation>
  </message>
  <message>
   <source>Give a longer duration.</source>
   <translation>Eine längere Dauer angeben.</translation>
  </message>
  <message>
   <source>Give both or neither.</source>
   <translation>Geben Sie beide an oder keines.</translation>
  </message>
  <message>
   <source>Give one of them.</source>
   <translation>Nur eines davon angeben.</translation>
  </message>
  <message>
   <source>Grin</source>
   <translation>Grinsen</translation>
  </message>
  <message>
   <source>Hardware encoder</source>
   <translation>Hardware-Encoder</translation>
  </message>
  <message>
   <source>Head</source>
   <translation>Kopf</translation>
  </message>
  <message>
   <source>Help</source>
   <translation>Hilfe</translation>
  </message>
  <message>
   <source>Help and About</source>
   <translation>Hilfe und Info</translation>
  </message>
  <message>
   <source>Hide the render queue</source>
   <translation>Render-Warteschlange verbergen</translation>
  </message>
  <message>
   <source>Hold</source>
   <translation>Halten</translation>
  </message>
  <message>
   <source>Hold the eye on the left of the image open by a fixed amount; 0 is closed.</source>
   <translation>Feste Öffnung des Auges links im Bild; 0 ist geschlossen.</translation>
  </message>
  <message>
   <source>Hold the eye on the right of the image open by a fixed amount; 0 is closed.</source>
   <translation>Feste Öffnung des Auges rechts im Bild; 0 ist geschlossen.</translation>
  </message>
  <message>
   <source>Hold the lips open by a fixed amount; 0 is closed.</source>
   <translation>Feste Öffnung der Lippen; 0 ist geschlossen.</translation>
  </message>
  <message>
   <source>Hover over a control to read what it does. Ctrl+Z undoes every change, F1 lists all keys, Ctrl+L shows all messages again.</source>
   <translation>Halten Sie den Zeiger über ein Bedienelement, um zu lesen, was es tut. Strg+Z macht jede Änderung rückgängig, F1 nennt alle Tasten, Strg+L zeigt alle Meldungen noch einmal.</translation>
  </message>
  <message>
   <source>How far the head grows and shrinks when the driver moves toward the camera: 0 keeps its size, 1 follows fully.</source>
   <translation>Wie weit der Kopf wächst und schrumpft, wenn sich die Person der Kamera nähert: 0 hält die Größe, 1 folgt ganz.</translation>
  </message>
  <message>
   <source>How far the mouth opens while it speaks.</source>
   <translation>Wie weit sich der Mund beim Sprechen öffnet.</translation>
  </message>
  <message>
   <source>How strongly jitter is removed from the driving motion, without delay and without affecting blinks; 0 turns it off, 0.3 is the official setting (and the default with {option:official}), 10 is very calm.</source>
   <translation>Wie viel Zittern aus der Bewegung genommen wird, ohne Verzögerung und ohne Blinzeln zu verändern; 0 schaltet die Glättung aus, 0.3 ist die offizielle Einstellung (und der Standard mit {option:official}), 10 ist sehr ruhig.</translation>
  </message>
  <message>
   <source>How the image fits into the virtual camera: {setting:contain} adds bars, {setting:cover} crops the edges, {setting:stretch} distorts.</source>
   <translation>Wie das Bild in die virtuelle Kamera passt: {setting:contain} ergänzt Balken, {setting:cover} schneidet den Rand ab, {setting:stretch} verzerrt.</translation>
  </message>
  <message>
   <source>How the image fits into {option:size}: {setting:contain} shows all of it, with borders in the fill colour; {setting:cover} fills the size and crops the edges.</source>
   <translation>Wie das Bild in {option:size} passt: {setting:contain} zeigt es ganz, mit Rändern in der Füllfarbe; {setting:cover} füllt die Größe und schneidet die Kanten ab.</translation>
  </message>
  <message>
   <source>How the result is marked as made by AI: {setting:full} uses every way listed in docs/provenance.md, {setting:metadata} only the file's metadata, with the same bytes in every run, and {setting:off} none.</source>
   <translation>Wie das Ergebnis als KI-gemacht gekennzeichnet wird: {setting:full} nutzt alle Arten, die docs/provenance.md nennt, {setting:metadata} nur die Metadaten der Datei, mit denselben Bytes bei jedem Lauf, {setting:off} keine.</translation>
  </message>
  <message>
   <source>I</source>
   <translation>I</translation>
  </message>
  <message>
   <source>I accept the licence</source>
   <translation>Ich nehme die Lizenz an</translation>
  </message>
  <message>
   <source>Idle motion</source>
   <translation>Ruhebewegung</translation>
  </message>
  <message>
   <source>If something is unclear</source>
   <translation>Wenn etwas unklar ist</translation>
  </message>
  <message>
   <source>If the window doesn't start, use opencv-python-headless instead.</source>
   <translation>Falls das Fenster nicht startet, stattdessen opencv-python-headless nehmen.</translation>
  </message>
  <message>
   <source>Image</source>
   <translation>Bild</translation>
  </message>
  <message>
   <source>Image alone on the screen</source>
   <translation>Nur das Bild auf dem Bildschirm</translation>
  </message>
  <message>
   <source>Image of the driver</source>
   <translation>Bild des Antriebs</translation>
  </message>
  <message>
   <source>Image quality; 100 is the best and gives the largest file.</source>
   <translation>Bildqualität; 100 ist die beste und ergibt die größte Datei.</translation>
  </message>
  <message>
   <source>Image with the crop</source>
   <translation>Bild mit dem Ausschnitt</translation>
  </message>
  <message>
   <source>Images</source>
   <translation>Bilder</translation>
  </message>
  <message>
   <source>Images ({endings})</source>
   <translation>Bilder ({endings})</translation>
  </message>
  <message>
   <source>Images and clips</source>
   <translation>Bilder und Videos</translation>
  </message>
  <message>
   <source>Image…</source>
   <translation>Bild …</translation>
  </message>
  <message>
   <source>Import</source>
   <translation>Importieren</translation>
  </message>
  <message>
   <source>Import expression…</source>
   <translation>Ausdruck importieren …</translation>
  </message>
  <message>
   <source>Import from a folder…</source>
   <translation>Aus einem Ordner importieren …</translation>
  </message>
  <message>
   <source>Import preset…</source>
   <translation>Voreinstellung importieren …</translation>
  </message>
  <message>
   <source>Import {name} from a folder</source>
   <translation>{name} aus einem Ordner importieren</translation>
  </message>
  <message>
   <source>In the app, send to {host}, port {port}.</source>
   <translation>In der App an {host}, Port {port} senden.</translation>
  </message>
  <message>
   <source>Install another one: pip install 'PySide6-Essentials&lt;6.12'</source>
   <translation>Eine andere installieren: pip install 'PySide6-Essentials&lt;6.12'</translation>
  </message>
  <message>
   <source>Install it again: {pip_command} --force-reinstall {name}</source>
   <translation>Neu installieren: {pip_command} --force-reinstall {name}</translation>
  </message>
  <message>
   <source>Install it again: {rivals}</source>
   <translation>Installieren Sie es neu: {rivals}</translation>
  </message>
  <message>
   <source>Install it: {qt_install}</source>
   <translation>Installieren: {qt_install}</translation>
  </message>
  <message>
   <source>Install the missing library; the command line works without it.</source>
   <translation>Die fehlende Bibliothek installieren; die Kommandozeile geht ohne sie.</translation>
  </message>
  <message>
   <source>Install: {missing}; the command line works without them.</source>
   <translation>Installieren: {missing}; die Kommandozeile geht ohne.</translation>
  </message>
  <message>
   <source>Internal error ({text}).</source>
   <translation>Interner Fehler ({text}).</translation>
  </message>
  <message>
   <source>It can't be negative.</source>
   <translation>Er kann nicht negativ sein.</translation>
  </message>
  <message>
   <source>It goes from 0 to 100.</source>
   <translation>Sie reicht von 0 bis 100.</translation>
  </message>
  <message>
   <source>It is kept as {path}.</source>
   <translation>Sie bleibt als {path} erhalten.</translation>
  </message>
  <message>
   <source>It lasts {duration:g} s.</source>
   <translation>Sie dauert {duration:g} s.</translation>
  </message>
  <message>
   <source>It must be above 0.</source>
   <translation>Sie muss über 0 liegen.</translation>
  </message>
  <message>
   <source>It was imported.</source>
   <translation>Import abgeschlossen.</translation>
  </message>
  <message>
   <source>Its name must end in {names}.</source>
   <translation>Ihr Name muss auf {names} enden.</translation>
  </message>
  <message>
   <source>JSON lines</source>
   <translation>JSON-Zeilen</translation>
  </message>
  <message>
   <source>Job {number} in {path} is damaged.</source>
   <translation>Der Auftrag {number} in {path} ist beschädigt.</translation>
  </message>
  <message>
   <source>Jobs that were not finished last time: {count}.</source>
   <translation>Aufträge, die beim letzten Mal nicht fertig wurden: {count}.</translation>
  </message>
  <message>
   <source>Keep one: {rivals}</source>
   <translation>Behalten Sie eines: {rivals}</translation>
  </message>
  <message>
   <source>Keep the shoulders and the border of the crop in place so that the animated head fits the untouched photo.</source>
   <translation>Hält Schultern und den Rand des Ausschnitts an ihrem Platz, damit der bewegte Kopf ins unberührte Foto passt.</translation>
  </message>
  <message>
   <source>Keep the window open</source>
   <translation>Fenster offen lassen</translation>
  </message>
  <message>
   <source>Key</source>
   <translation>Schlüssel</translation>
  </message>
  <message>
   <source>Keyboard shortcuts</source>
   <translation>Tastenkürzel</translation>
  </message>
  <message>
   <source>Keyboard shortcuts…</source>
   <translation>Tastenkürzel …</translation>
  </message>
  <message>
   <source>Keyframes</source>
   <translation>Schlüsselbilder</translation>
  </message>
  <message>
   <source>Keyframes: {count}</source>
   <translation>Schlüsselbilder: {count}</translation>
  </message>
  <message>
   <source>Kiss</source>
   <translation>Kuss</translation>
  </message>
  <message>
   <source>Label the image visibly as made by AI: {setting:corner} puts the letters AI into the lower right corner.</source>
   <translation>Das Bild sichtbar als KI-gemacht kennzeichnen: {setting:corner} setzt die Buchstaben AI in die untere rechte Ecke.</translation>
  </message>
  <message>
   <source>Landmarks found on the face.</source>
   <translation>Die auf dem Gesicht gefundenen Punkte.</translation>
  </message>
  <message>
   <source>Language</source>
   <translation>Sprache</translation>
  </message>
  <message>
   <source>Largest crop</source>
   <translation>Größter Ausschnitt</translation>
  </message>
  <message>
   <source>Largest image</source>
   <translation>Größtes Bild</translation>
  </message>
  <message>
   <source>Largest side of the crop that the engine animates, in source pixels; larger is sharper on large images, and slower. 0 lets the engine choose; LivePortrait networks have a fixed size.</source>
   <translation>Größte Seite des animierten Ausschnitts in Pixeln der Quelle; mehr ist schärfer bei großen Bildern und langsamer. 0 überlässt der Engine die Wahl; LivePortrait-Netze haben eine feste Größe.</translation>
  </message>
  <message>
   <source>Later</source>
   <translation>Später</translation>
  </message>
  <message>
   <source>Laugh</source>
   <translation>Lachen</translation>
  </message>
  <message>
   <source>Leave one of them out.</source>
   <translation>Eines davon weglassen.</translation>
  </message>
  <message>
   <source>Left and right are swapped as in a mirror.</source>
   <translation>Links und rechts sind vertauscht wie in einem Spiegel.</translation>
  </message>
  <message>
   <source>Left brow</source>
   <translation>Linke Braue</translation>
  </message>
  <message>
   <source>Left corner of the mouth</source>
   <translation>Linker Mundwinkel</translation>
  </message>
  <message>
   <source>Left edge of the face</source>
   <translation>Linker Rand des Gesichts</translation>
  </message>
  <message>
   <source>Left eye</source>
   <translation>Linkes Auge</translation>
  </message>
  <message>
   <source>Left eye, inner corner</source>
   <translation>Linkes Auge, innerer Winkel</translation>
  </message>
  <message>
   <source>Left eye, lower lid</source>
   <translation>Linkes Auge, Unterlid</translation>
  </message>
  <message>
   <source>Left eye, outer corner</source>
   <translation>Linkes Auge, äußerer Winkel</translation>
  </message>
  <message>
   <source>Left eye, upper lid</source>
   <translation>Linkes Auge, Oberlid</translation>
  </message>
  <message>
   <source>Length</source>
   <translation>Länge</translation>
  </message>
  <message>
   <source>Length of that part of a source clip, instead of its end.</source>
   <translation>Länge dieses Teils eines Quellvideos, statt seines Endes.</translation>
  </message>
  <message>
   <source>Length of that part of the driving clip, instead of its end.</source>
   <translation>Länge dieses Teils des treibenden Videos, statt seines Endes.</translation>
  </message>
  <message>
   <source>Length of the clip; it never ends before the last keyframe.</source>
   <translation>Länge des Clips; er endet nie vor dem letzten Schlüsselbild.</translation>
  </message>
  <message>
   <source>Length of the result if source and driving file are both clips: {setting:shortest} ends with the shorter one, {setting:source} with the source, {setting:driving} with the driving file, and {setting:loop} with the longer one while the other repeats. Frames are paired by time. With a photo, {setting:loop} blends the end into the beginning, for clips that repeat, and {setting:pingpong} plays the motion forward and then backward.</source>
   <translation>Länge des Ergebnisses, wenn Quelle und Antrieb beide Videos sind: {setting:shortest} endet mit dem kürzeren, {setting:source} mit der Quelle, {setting:driving} mit dem Antrieb und {setting:loop} mit dem längeren, während das andere von vorn beginnt. Bilder werden nach der Zeit gepaart. Bei einem Foto geht mit {setting:loop} das Ende in den Anfang über, für Videos in Endlosschleife, und {setting:pingpong} spielt die Bewegung vorwärts und dann rückwärts.</translation>
  </message>
  <message>
   <source>Let all faces move.</source>
   <translation>Alle Gesichter bewegen.</translation>
  </message>
  <message>
   <source>Let this face follow its own clip, image or template.</source>
   <translation>Dieses Gesicht folgt einem eigenen Clip, Bild oder einer eigenen Bewegungsvorlage.</translation>
  </message>
  <message>
   <source>Level the crop</source>
   <translation>Ausschnitt aufrichten</translation>
  </message>
  <message>
   <source>Licence: {licence}</source>
   <translation>Lizenz: {licence}</translation>
  </message>
  <message>
   <source>Licences</source>
   <translation>Lizenzen</translation>
  </message>
  <message>
   <source>Light</source>
   <translation>Hell</translation>
  </message>
  <message>
   <source>Limit head turns</source>
   <translation>Kopfdrehung begrenzen</translation>
  </message>
  <message>
   <source>Linear</source>
   <translation>Gleichmäßig</translation>
  </message>
  <message>
   <source>Lip gain</source>
   <translation>Lippenverstärkung</translation>
  </message>
  <message>
   <source>Lip retargeting</source>
   <translation>Lippen angleichen</translation>
  </message>
  <message>
   <source>Lips</source>
   <translation>Lippen</translation>
  </message>
  <message>
   <source>Lips from</source>
   <translation>Lippen von</translation>
  </message>
  <message>
   <source>Lips from {name}</source>
   <translation>Lippen von {name}</translation>
  </message>
  <message>
   <source>Live</source>
   <translation>Live</translation>
  </message>
  <message>
   <source>Live Link Face on an iPhone, in its ARKit mode</source>
   <translation>Live Link Face auf einem iPhone, im ARKit-Modus</translation>
  </message>
  <message>
   <source>LivePortrait networks for animals, release 1.1</source>
   <translation>Netze von LivePortrait für Tiere, Version 1.1</translation>
  </message>
  <message>
   <source>LivePortrait networks for human faces</source>
   <translation>Netze von LivePortrait für Gesichter von Menschen</translation>
  </message>
  <message>
   <source>LivePortrait's networks of 21 learned keypoints on PyTorch; needs their official weights</source>
   <translation>Netze von LivePortrait mit 21 gelernten Punkten auf PyTorch; braucht deren offizielle Gewichte</translation>
  </message>
  <message>
   <source>Load of the computer</source>
   <translation>Auslastung des Rechners</translation>
  </message>
  <message>
   <source>Long clips need room there; set TMPDIR to another folder.</source>
   <translation>Lange Clips brauchen dort Platz; TMPDIR auf einen anderen Ordner setzen.</translation>
  </message>
  <message>
   <source>Longer side of the live image; larger portraits are scaled down. 0 keeps their size.</source>
   <translation>Längere Seite des Live-Bildes; größere Porträts werden verkleinert. 0 behält ihre Größe.</translation>
  </message>
  <message>
   <source>Longest side</source>
   <translation>Längste Seite</translation>
  </message>
  <message>
   <source>Look for cameras again</source>
   <translation>Kameras neu suchen</translation>
  </message>
  <message>
   <source>Look right</source>
   <translation>Blick nach rechts</translation>
  </message>
  <message>
   <source>Look right, left eye</source>
   <translation>Linkes Auge: rechts</translation>
  </message>
  <message>
   <source>Look right, right eye</source>
   <translation>Rechtes Auge: rechts</translation>
  </message>
  <message>
   <source>Look up</source>
   <translation>Blick nach oben</translation>
  </message>
  <message>
   <source>Look up, left eye</source>
   <translation>Linkes Auge: oben</translation>
  </message>
  <message>
   <source>Look up, right eye</source>
   <translation>Rechtes Auge: oben</translation>
  </message>
  <message>
   <source>Looking for faces…</source>
   <translation>Gesichter werden gesucht …</translation>
  </message>
  <message>
   <source>Lower edge of the mouth's opening</source>
   <translation>Unterer Rand der Mundöffnung</translation>
  </message>
  <message>
   <source>MIDI input</source>
   <translation>MIDI-Eingang</translation>
  </message>
  <message>
   <source>MIDI input whose controllers move the sliders: its name or a part of it, or {setting:first}; empty opens none.</source>
   <translation>MIDI-Eingang, dessen Controller die Regler bewegen: sein Name oder ein Teil davon, oder {setting:first}; leer öffnet keinen.</translation>
  </message>
  <message>
   <source>MIDI inputs can't be listed: {error}.</source>
   <translation>MIDI-Eingänge lassen sich nicht auflisten: {error}.</translation>
  </message>
  <message>
   <source>Make it again with `animate template make SOUND -o NAME.speech`.</source>
   <translation>Mit `animate template make TON -o NAME.speech` neu anlegen.</translation>
  </message>
  <message>
   <source>Make it again with `animate template make`.</source>
   <translation>Mit `animate template make` neu erstellen.</translation>
  </message>
  <message>
   <source>Make it later.</source>
   <translation>Es später enden lassen.</translation>
  </message>
  <message>
   <source>Mark as made by AI</source>
   <translation>Als KI-gemacht kennzeichnen</translation>
  </message>
  <message>
   <source>Marks</source>
   <translation>Kennzeichnung</translation>
  </message>
  <message>
   <source>Match the driver's eye opening exactly, on top of the other motion.</source>
   <translation>Übernimmt die Augenöffnung des Antriebs genau, zusätzlich zur übrigen Bewegung.</translation>
  </message>
  <message>
   <source>Match the driver's lip opening exactly, on top of the other motion.</source>
   <translation>Übernimmt die Lippenöffnung des Antriebs genau, zusätzlich zur übrigen Bewegung.</translation>
  </message>
  <message>
   <source>Measured here per frame: {shown}.</source>
   <translation>Hier gemessen je Bild: {shown}.</translation>
  </message>
  <message>
   <source>Memory of the graphics card in use, of {size} GB</source>
   <translation>Belegter Speicher der Grafikkarte, von {size} GB</translation>
  </message>
  <message>
   <source>Menu</source>
   <translation>Menü</translation>
  </message>
  <message>
   <source>Messages</source>
   <translation>Meldungen</translation>
  </message>
  <message>
   <source>Messages…</source>
   <translation>Meldungen …</translation>
  </message>
  <message>
   <source>Microphone</source>
   <translation>Mikrofon</translation>
  </message>
  <message>
   <source>Mirror</source>
   <translation>Spiegeln</translation>
  </message>
  <message>
   <source>Mirror the camera</source>
   <translation>Kamera spiegeln</translation>
  </message>
  <message>
   <source>Mirrored</source>
   <translation>Gespiegelt</translation>
  </message>
  <message>
   <source>Model weights</source>
   <translation>Modellgewichte</translation>
  </message>
  <message>
   <source>Model weights…</source>
   <translation>Modellgewichte …</translation>
  </message>
  <message>
   <source>Model {name} has {count} files where one is expected.</source>
   <translation>Das Modell {name} hat {count} Dateien, wo eine erwartet wird.</translation>
  </message>
  <message>
   <source>Model {spec} can't be downloaded by this app; its source is {source}.</source>
   <translation>Das Modell {spec} kann dieses Programm nicht laden; seine Quelle ist {source}.</translation>
  </message>
  <message>
   <source>Model {spec} is under the licence {licence}; accept it before downloading.</source>
   <translation>Das Modell {spec} steht unter der Lizenz {licence}; vor dem Laden ist sie anzunehmen.</translation>
  </message>
  <message>
   <source>Models</source>
   <translation>Modelle</translation>
  </message>
  <message>
   <source>Motion</source>
   <translation>Bewegung</translation>
  </message>
  <message>
   <source>Motion and other options</source>
   <translation>Bewegung und andere Optionen</translation>
  </message>
  <message>
   <source>Motion is measured from driving frame {index}, the most neutral one.</source>
   <translation>Die Bewegung wird vom Antriebsbild {index} aus gemessen, dem neutralsten.</translation>
  </message>
  <message>
   <source>Mouth</source>
   <translation>Mund</translation>
  </message>
  <message>
   <source>Mouth motion</source>
   <translation>Mundbewegung</translation>
  </message>
  <message>
   <source>Mouth opening</source>
   <translation>Mundöffnung</translation>
  </message>
  <message>
   <source>Move both sides of the face together.</source>
   <translation>Was auf einer Seite des Gesichts bewegt wird, bewegt sich auch auf der anderen.</translation>
  </message>
  <message>
   <source>Move or enlarge the crop so that it contains a whole human face.</source>
   <translation>Verschieben oder vergrößern Sie den Ausschnitt, bis er ein ganzes menschliches Gesicht enthält.</translation>
  </message>
  <message>
   <source>Move right</source>
   <translation>Nach rechts</translation>
  </message>
  <message>
   <source>Move the head to the right, in halves of the crop.</source>
   <translation>Verschiebt den Kopf nach rechts, in halben Ausschnitten.</translation>
  </message>
  <message>
   <source>Move the head up, in halves of the crop.</source>
   <translation>Verschiebt den Kopf nach oben, in halben Ausschnitten.</translation>
  </message>
  <message>
   <source>Move up</source>
   <translation>Nach oben</translation>
  </message>
  <message>
   <source>Name</source>
   <translation>Name</translation>
  </message>
  <message>
   <source>Network camera</source>
   <translation>Netzwerkkamera</translation>
  </message>
  <message>
   <source>Network camera…</source>
   <translation>Netzwerkkamera …</translation>
  </message>
  <message>
   <source>Neutral</source>
   <translation>Neutral</translation>
  </message>
  <message>
   <source>Neutral reference</source>
   <translation>Ruhebild</translation>
  </message>
  <message>
   <source>Never downloaded by this app: put the pack there yourself if its licence suits you. No trusted hash is known for these files: only their form is checked, and that they stay unchanged.</source>
   <translation>Wird von diesem Programm nie geladen: Wem die Lizenz passt, der legt das Paket selbst dorthin. Für diese Dateien ist keine Prüfsumme bekannt: Geprüft wird ihr Aufbau, und dass sie bleiben, wie sie kamen.</translation>
  </message>
  <message>
   <source>New neutral pose</source>
   <translation>Neue Ruhehaltung</translation>
  </message>
  <message>
   <source>New project</source>
   <translation>Neues Projekt</translation>
  </message>
  <message>
   <source>Next portrait</source>
   <translation>Nächstes Porträt</translation>
  </message>
  <message>
   <source>No camera found</source>
   <translation>Keine Kamera gefunden</translation>
  </message>
  <message>
   <source>No camera was found.</source>
   <translation>Es wurde keine Kamera gefunden.</translation>
  </message>
  <message>
   <source>No engine can run here.</source>
   <translation>Hier kann keine Engine laufen.</translation>
  </message>
  <message>
   <source>No face detected</source>
   <translation>Kein Gesicht zu sehen</translation>
  </message>
  <message>
   <source>No face was found. Place it by hand here.</source>
   <translation>Es wurde kein Gesicht gefunden; hier wird es von Hand gesetzt.</translation>
  </message>
  <message>
   <source>No face was found. Set the crop by hand.</source>
   <translation>Kein Gesicht gefunden: Setzen Sie den Ausschnitt von Hand.</translation>
  </message>
  <message>
   <source>No folder for temporary files can be created in {tried}.</source>
   <translation>In {tried} kann kein Ordner für Zwischendateien angelegt werden.</translation>
  </message>
  <message>
   <source>No frames received from camera {camera}.</source>
   <translation>Die Kamera {camera} liefert kein Bild.</translation>
  </message>
  <message>
   <source>No frames received from camera {name}{detail}.</source>
   <translation>Die Kamera {name} liefert kein Bild{detail}.</translation>
  </message>
  <message>
   <source>No frames received from {name} for {seconds:g} s.</source>
   <translation>{name} hat seit {seconds:g} s kein Bild gesendet.</translation>
  </message>
  <message>
   <source>No frames received from {title} for {silence:g} s.</source>
   <translation>{title} hat seit {silence:g} s kein Bild geliefert.</translation>
  </message>
  <message>
   <source>No image</source>
   <translation>Kein Bild</translation>
  </message>
  <message>
   <source>No preset: reset the options</source>
   <translation>Keine Voreinstellung: Einstellungen zurücksetzen</translation>
  </message>
  <message>
   <source>No trusted hash is known for these files: only their form is checked, and that they stay unchanged.</source>
   <translation>Für diese Dateien ist keine Prüfsumme bekannt: Geprüft wird ihr Aufbau, und dass sie bleiben, wie sie kamen.</translation>
  </message>
  <message>
   <source>No worker can start{how}.</source>
   <translation>Kein Arbeiter kann starten{how}.</translation>
  </message>
  <message>
   <source>Nod</source>
   <translation>Nicken</translation>
  </message>
  <message>
   <source>Nothing to render yet.</source>
   <translation>Noch nichts zu rendern.</translation>
  </message>
  <message>
   <source>Nothing yet</source>
   <translation>Noch nichts</translation>
  </message>
  <message>
   <source>O</source>
   <translation>O</translation>
  </message>
  <message>
   <source>ONNX Runtime</source>
   <translation>ONNX Runtime</translation>
  </message>
  <message>
   <source>Official rules</source>
   <translation>Offizielle Regeln</translation>
  </message>
  <message>
   <source>On</source>
   <translation>An</translation>
  </message>
  <message>
   <source>On Linux install the package libportaudio2.</source>
   <translation>Unter Linux das Paket libportaudio2 installieren.</translation>
  </message>
  <message>
   <source>One eye in {name} seems to be hidden; the other one is animated.</source>
   <translation>Ein Auge in {name} ist anscheinend verdeckt; das andere wird animiert.</translation>
  </message>
  <message>
   <source>One frame back</source>
   <translation>Ein Bild zurück</translation>
  </message>
  <message>
   <source>One frame forward</source>
   <translation>Ein Bild vor</translation>
  </message>
  <message>
   <source>Only mouth and jaw move; for dubbing a source video.</source>
   <translation>Nur Mund und Kiefer bewegen sich; zum Synchronisieren eines Quellvideos.</translation>
  </message>
  <message>
   <source>Only the eye on the left of the image looks to the right.</source>
   <translation>Nur das Auge links im Bild blickt nach rechts.</translation>
  </message>
  <message>
   <source>Only the eye on the left of the image looks up.</source>
   <translation>Nur das Auge links im Bild blickt nach oben.</translation>
  </message>
  <message>
   <source>Only the eye on the right of the image looks to the right.</source>
   <translation>Nur das Auge rechts im Bild blickt nach rechts.</translation>
  </message>
  <message>
   <source>Only the eye on the right of the image looks up.</source>
   <translation>Nur das Auge rechts im Bild blickt nach oben.</translation>
  </message>
  <message>
   <source>Only this part of the clip plays and is rendered; a click uses all of it.</source>
   <translation>Nur dieser Ausschnitt des Clips spielt und wird gerendert; ein Klick verwendet den ganzen.</translation>
  </message>
  <message>
   <source>Open</source>
   <translation>Öffnen</translation>
  </message>
  <message>
   <source>Open "Crop and face" to place the face of a pet, a doll or a drawing by hand.</source>
   <translation>Öffnen Sie „Ausschnitt und Gesicht“, um das Gesicht eines Haustiers, einer Puppe oder einer Zeichnung von Hand zu setzen.</translation>
  </message>
  <message>
   <source>Open a project</source>
   <translation>Projekt öffnen</translation>
  </message>
  <message>
   <source>Open a project…</source>
   <translation>Projekt öffnen …</translation>
  </message>
  <message>
   <source>Open an expression track…</source>
   <translation>Ausdrucksspur öffnen …</translation>
  </message>
  <message>
   <source>Open mouth</source>
   <translation>Mund öffnen</translation>
  </message>
  <message>
   <source>Open the file</source>
   <translation>Datei öffnen</translation>
  </message>
  <message>
   <source>Open the folder</source>
   <translation>Ordner öffnen</translation>
  </message>
  <message>
   <source>Open the mouth; below 0 presses the lips.</source>
   <translation>Öffnet den Mund; unter 0 presst die Lippen.</translation>
  </message>
  <message>
   <source>OpenCV variant</source>
   <translation>Bauart von OpenCV</translation>
  </message>
  <message>
   <source>Opening the camera {name} was cancelled.</source>
   <translation>Das Öffnen der Kamera {name} wurde abgebrochen.</translation>
  </message>
  <message>
   <source>Opens the port to the network; without it, only programs on this computer can send.</source>
   <translation>Öffnet den Port zum Netz hin; sonst können nur Programme auf diesem Rechner senden.</translation>
  </message>
  <message>
   <source>Open…</source>
   <translation>Öffnen …</translation>
  </message>
  <message>
   <source>Optional packages</source>
   <translation>Zusatzpakete</translation>
  </message>
  <message>
   <source>Others see it as an unknown signer; set your own with {option:signing_cert} and {option:signing_key}.</source>
   <translation>Andere lesen ihn als unbekannten Unterzeichner; {option:signing_cert} und {option:signing_key} nennen Ihr eigenes Zertifikat.</translation>
  </message>
  <message>
   <source>Output</source>
   <translation>Ausgabe</translation>
  </message>
  <message>
   <source>Output file</source>
   <translation>Ausgabedatei</translation>
  </message>
  <message>
   <source>Overwrite</source>
   <translation>Überschreiben</translation>
  </message>
  <message>
   <source>Packages</source>
   <translation>Pakete</translation>
  </message>
  <message>
   <source>Packets arrive at {place}, but not from {sender}: choose the protocol that the app sends.</source>
   <translation>Bei {place} kommen Pakete an, aber nicht von {sender}: Wählen Sie das Protokoll, das die App sendet.</translation>
  </message>
  <message>
   <source>Part</source>
   <translation>Teil</translation>
  </message>
  <message>
   <source>Part of the clip: {part}</source>
   <translation>Ausschnitt des Clips: {part}</translation>
  </message>
  <message>
   <source>Paste</source>
   <translation>Einfügen</translation>
  </message>
  <message>
   <source>Paste back</source>
   <translation>Zurück ins Bild</translation>
  </message>
  <message>
   <source>Paste the animated crop back into the full image; off gives the bare crop.</source>
   <translation>Setzt den animierten Ausschnitt zurück ins ganze Bild; aus ergibt nur den Ausschnitt.</translation>
  </message>
  <message>
   <source>Paste-back mask</source>
   <translation>Einfügemaske</translation>
  </message>
  <message>
   <source>Pause</source>
   <translation>Pause</translation>
  </message>
  <message>
   <source>Phone or tracking app</source>
   <translation>Telefon oder Tracking-App</translation>
  </message>
  <message>
   <source>Place the face by hand</source>
   <translation>Gesicht von Hand setzen</translation>
  </message>
  <message>
   <source>Placed faces</source>
   <translation>Gesetzte Gesichter</translation>
  </message>
  <message>
   <source>Play</source>
   <translation>Abspielen</translation>
  </message>
  <message>
   <source>Play or pause</source>
   <translation>Abspielen oder anhalten</translation>
  </message>
  <message>
   <source>Plug it in again.</source>
   <translation>Neu anschließen.</translation>
  </message>
  <message>
   <source>Plus and minus zoom, the arrow keys move, 0 fits, 1 shows single pixels.</source>
   <translation>Plus und Minus zoomen, die Pfeiltasten verschieben, 0 passt ein, 1 zeigt einzelne Pixel.</translation>
  </message>
  <message>
   <source>Point {choice} is outside the image of {size}x{size2} pixels; {count}.</source>
   <translation>Der Punkt {choice} liegt außerhalb des Bildes von {size}x{size2} Pixeln; {count}.</translation>
  </message>
  <message>
   <source>Port</source>
   <translation>Port</translation>
  </message>
  <message>
   <source>Port that the app sends to</source>
   <translation>Port, an den die App sendet</translation>
  </message>
  <message>
   <source>Port {port} is already used by another program.</source>
   <translation>Port {port} wird schon von einem anderen Programm benutzt.</translation>
  </message>
  <message>
   <source>Portraits</source>
   <translation>Porträts</translation>
  </message>
  <message>
   <source>Pose</source>
   <translation>Haltung</translation>
  </message>
  <message>
   <source>Pose from</source>
   <translation>Pose von</translation>
  </message>
  <message>
   <source>Pose from {name}</source>
   <translation>Pose von {name}</translation>
  </message>
  <message>
   <source>Pose of the head</source>
   <translation>Kopfhaltung</translation>
  </message>
  <message>
   <source>Pose the portrait with the sliders; idle motion makes it breathe and blink.</source>
   <translation>Das Porträt mit den Reglern bewegen; mit Ruhebewegung atmet und blinzelt es.</translation>
  </message>
  <message>
   <source>Position in the clip</source>
   <translation>Stelle im Clip</translation>
  </message>
  <message>
   <source>Pout</source>
   <translation>Schmollmund</translation>
  </message>
  <message>
   <source>Precision</source>
   <translation>Rechengenauigkeit</translation>
  </message>
  <message>
   <source>Presets</source>
   <translation>Voreinstellungen</translation>
  </message>
  <message>
   <source>Press Render to write a clip or an image, or the red dot to record what you see.</source>
   <translation>Drücken Sie Rendern, um einen Clip oder ein Bild zu schreiben, oder den roten Punkt, um aufzunehmen, was Sie sehen.</translation>
  </message>
  <message>
   <source>Preview</source>
   <translation>Vorschau</translation>
  </message>
  <message>
   <source>Previous portrait</source>
   <translation>Voriges Porträt</translation>
  </message>
  <message>
   <source>Processor, of all its cores, and memory that the program uses</source>
   <translation>Prozessor, von allen Kernen, und Arbeitsspeicher, die das Programm belegt</translation>
  </message>
  <message>
   <source>Program</source>
   <translation>Programm</translation>
  </message>
  <message>
   <source>Progress of all jobs</source>
   <translation>Fortschritt aller Aufträge</translation>
  </message>
  <message>
   <source>Progress of {name}</source>
   <translation>Fortschritt von {name}</translation>
  </message>
  <message>
   <source>Project</source>
   <translation>Projekt</translation>
  </message>
  <message>
   <source>Projects</source>
   <translation>Projekte</translation>
  </message>
  <message>
   <source>Protocol</source>
   <translation>Protokoll</translation>
  </message>
  <message>
   <source>Purse</source>
   <translation>Lippen spitzen</translation>
  </message>
  <message>
   <source>Purse the lips; below 0 draws them in.</source>
   <translation>Spitzt die Lippen; unter 0 zieht sie ein.</translation>
  </message>
  <message>
   <source>Push the lips out.</source>
   <translation>Schiebt die Lippen vor.</translation>
  </message>
  <message>
   <source>Put them into the URL: rtsp://name:password@...</source>
   <translation>In die Adresse schreiben: rtsp://name:passwort@...</translation>
  </message>
  <message>
   <source>PySide6 {version} does not work with Python {version_info}.{version_info2}.</source>
   <translation>PySide6 {version} geht nicht mit Python {version_info}.{version_info2}.</translation>
  </message>
  <message>
   <source>Qt can't open a window here: {names} can't be loaded.</source>
   <translation>Qt kann hier kein Fenster öffnen: {names} kann nicht geladen werden.</translation>
  </message>
  <message>
   <source>Qt libraries</source>
   <translation>Qt-Bibliotheken</translation>
  </message>
  <message>
   <source>Quality</source>
   <translation>Qualität</translation>
  </message>
  <message>
   <source>Quiet</source>
   <translation>Still</translation>
  </message>
  <message>
   <source>Quit</source>
   <translation>Beenden</translation>
  </message>
  <message>
   <source>Raise brows</source>
   <translation>Brauen heben</translation>
  </message>
  <message>
   <source>Raise the brows; below 0 lowers them.</source>
   <translation>Hebt die Brauen; unter 0 senkt sie.</translation>
  </message>
  <message>
   <source>Rate</source>
   <translation>Rate</translation>
  </message>
  <message>
   <source>Reading the image…</source>
   <translation>Das Bild wird gelesen …</translation>
  </message>
  <message>
   <source>Reading {name}…</source>
   <translation>{name} wird gelesen …</translation>
  </message>
  <message>
   <source>Receiving a face from the tracker.</source>
   <translation>Der Gesichtstracker sendet ein Gesicht.</translation>
  </message>
  <message>
   <source>Recent portraits</source>
   <translation>Zuletzt verwendete Porträts</translation>
  </message>
  <message>
   <source>Recent projects</source>
   <translation>Letzte Projekte</translation>
  </message>
  <message>
   <source>Record it live, or choose a clip as the driver.</source>
   <translation>Nehmen Sie live auf, oder wählen Sie ein Video als Antrieb.</translation>
  </message>
  <message>
   <source>Record live</source>
   <translation>Live aufnehmen</translation>
  </message>
  <message>
   <source>Record the microphone</source>
   <translation>Mikrofon aufnehmen</translation>
  </message>
  <message>
   <source>Record to</source>
   <translation>Aufnehmen in</translation>
  </message>
  <message>
   <source>Recorded {path} ({count} expressions, {seconds} s).</source>
   <translation>{path} aufgenommen ({count} Ausdrücke, {seconds} s).</translation>
  </message>
  <message>
   <source>Recorded {path} ({frames} frames, {seconds} s{dropped}).</source>
   <translation>Aufgenommen: {path} ({frames} Bilder, {seconds} s{dropped}).</translation>
  </message>
  <message>
   <source>Recording</source>
   <translation>Aufnahme</translation>
  </message>
  <message>
   <source>Recording the microphone needs the package sounddevice.</source>
   <translation>Für Aufnahmen mit Mikrofon fehlt das Paket sounddevice.</translation>
  </message>
  <message>
   <source>Recording to {name}</source>
   <translation>Aufnahme in {name}</translation>
  </message>
  <message>
   <source>Redo</source>
   <translation>Wiederholen</translation>
  </message>
  <message>
   <source>Region</source>
   <translation>Bereich</translation>
  </message>
  <message>
   <source>Relative motion</source>
   <translation>Relative Bewegung</translation>
  </message>
  <message>
   <source>Remove all finished jobs from the list; their files are kept</source>
   <translation>Alle beendeten Aufträge von der Liste nehmen; die Dateien bleiben</translation>
  </message>
  <message>
   <source>Remove from the list</source>
   <translation>Von der Liste nehmen</translation>
  </message>
  <message>
   <source>Remove it: animate jobs clear {row}.</source>
   <translation>Vergessen Sie ihn: animate jobs clear {row}.</translation>
  </message>
  <message>
   <source>Remove portrait</source>
   <translation>Porträt entfernen</translation>
  </message>
  <message>
   <source>Remove the stream</source>
   <translation>Stream entfernen</translation>
  </message>
  <message>
   <source>Remove these jobs from the list; finished files stay</source>
   <translation>Diese Aufträge vergessen; fertige Dateien bleiben</translation>
  </message>
  <message>
   <source>Render all portraits</source>
   <translation>Alle Porträts rendern</translation>
  </message>
  <message>
   <source>Render all portraits…</source>
   <translation>Alle Porträts rendern …</translation>
  </message>
  <message>
   <source>Render queue</source>
   <translation>Render-Warteschlange</translation>
  </message>
  <message>
   <source>Render to file</source>
   <translation>In eine Datei rendern</translation>
  </message>
  <message>
   <source>Render to file…</source>
   <translation>In eine Datei rendern …</translation>
  </message>
  <message>
   <source>Render…</source>
   <translation>Rendern …</translation>
  </message>
  <message>
   <source>Repeat in a loop</source>
   <translation>In Schleife wiederholen</translation>
  </message>
  <message>
   <source>Replace</source>
   <translation>Ersetzen</translation>
  </message>
  <message>
   <source>Report</source>
   <translation>Bericht</translation>
  </message>
  <message>
   <source>Reset all controls</source>
   <translation>Alle Regler zurücksetzen</translation>
  </message>
  <message>
   <source>Reset pose and expression</source>
   <translation>Haltung und Ausdruck zurücksetzen</translation>
  </message>
  <message>
   <source>Reset {section}</source>
   <translation>{section} zurücksetzen</translation>
  </message>
  <message>
   <source>Restore defaults</source>
   <translation>Standard wiederherstellen</translation>
  </message>
  <message>
   <source>Result</source>
   <translation>Ergebnis</translation>
  </message>
  <message>
   <source>Result over source</source>
   <translation>Ergebnis über Quelle</translation>
  </message>
  <message>
   <source>Results carry metadata and a watermark, but no signed credentials: {command}</source>
   <translation>Ergebnisse tragen Metadaten und ein Wasserzeichen, aber keinen signierten Nachweis: {command}</translation>
  </message>
  <message>
   <source>Resume</source>
   <translation>Fortsetzen</translation>
  </message>
  <message>
   <source>Resume ({count})</source>
   <translation>Fortsetzen ({count})</translation>
  </message>
  <message>
   <source>Resume the waiting jobs</source>
   <translation>Die wartenden Aufträge fortsetzen</translation>
  </message>
  <message>
   <source>Resume these jobs</source>
   <translation>Mit diesen Aufträgen weitermachen</translation>
  </message>
  <message>
   <source>Right brow</source>
   <translation>Rechte Braue</translation>
  </message>
  <message>
   <source>Right corner of the mouth</source>
   <translation>Rechter Mundwinkel</translation>
  </message>
  <message>
   <source>Right edge of the face</source>
   <translation>Rechter Rand des Gesichts</translation>
  </message>
  <message>
   <source>Right eye</source>
   <translation>Rechtes Auge</translation>
  </message>
  <message>
   <source>Right eye, inner corner</source>
   <translation>Rechtes Auge, innerer Winkel</translation>
  </message>
  <message>
   <source>Right eye, lower lid</source>
   <translation>Rechtes Auge, Unterlid</translation>
  </message>
  <message>
   <source>Right eye, outer corner</source>
   <translation>Rechtes Auge, äußerer Winkel</translation>
  </message>
  <message>
   <source>Right eye, upper lid</source>
   <translation>Rechtes Auge, Oberlid</translation>
  </message>
  <message>
   <source>Rotate the camera</source>
   <translation>Kamera drehen</translation>
  </message>
  <message>
   <source>Rotate the crop so that the face is upright in it.</source>
   <translation>Dreht den Ausschnitt, bis das Gesicht aufrecht steht.</translation>
  </message>
  <message>
   <source>Rotate the frames of a camera that is mounted sideways or upside down, clockwise.</source>
   <translation>Dreht die Bilder einer Kamera, die auf der Seite oder auf dem Kopf steht, im Uhrzeigersinn.</translation>
  </message>
  <message>
   <source>Rotation of the crop, clockwise</source>
   <translation>Drehung des Ausschnitts im Uhrzeigersinn</translation>
  </message>
  <message>
   <source>Run a single job with `animate` to see why.</source>
   <translation>Einen einzelnen Auftrag mit `animate` ausführen, um den Grund zu sehen.</translation>
  </message>
  <message>
   <source>Run again</source>
   <translation>Noch einmal</translation>
  </message>
  <message>
   <source>Sad</source>
   <translation>Traurig</translation>
  </message>
  <message>
   <source>Save</source>
   <translation>Speichern</translation>
  </message>
  <message>
   <source>Save as</source>
   <translation>Speichern unter</translation>
  </message>
  <message>
   <source>Save as an expression track…</source>
   <translation>Als Ausdrucksspur speichern …</translation>
  </message>
  <message>
   <source>Save as…</source>
   <translation>Speichern unter …</translation>
  </message>
  <message>
   <source>Save expression</source>
   <translation>Ausdruck speichern</translation>
  </message>
  <message>
   <source>Save expression…</source>
   <translation>Ausdruck speichern …</translation>
  </message>
  <message>
   <source>Save it as a file and give its name.</source>
   <translation>Speichern Sie die Daten als Datei und nennen Sie deren Namen.</translation>
  </message>
  <message>
   <source>Save it as a file first.</source>
   <translation>Erst als Datei speichern.</translation>
  </message>
  <message>
   <source>Save one of its frames as an image and animate that.</source>
   <translation>Speichern Sie eines seiner Bilder als Datei und bewegen Sie dieses.</translation>
  </message>
  <message>
   <source>Save preset</source>
   <translation>Voreinstellung speichern</translation>
  </message>
  <message>
   <source>Save preset…</source>
   <translation>Voreinstellung speichern …</translation>
  </message>
  <message>
   <source>Save the project</source>
   <translation>Projekt speichern</translation>
  </message>
  <message>
   <source>Save the project as…</source>
   <translation>Projekt speichern unter …</translation>
  </message>
  <message>
   <source>Save this image</source>
   <translation>Dieses Bild speichern</translation>
  </message>
  <message>
   <source>Save this image…</source>
   <translation>Dieses Bild speichern …</translation>
  </message>
  <message>
   <source>Saved expression</source>
   <translation>Gesicherter Ausdruck</translation>
  </message>
  <message>
   <source>Saved expressions</source>
   <translation>Gespeicherte Ausdrücke</translation>
  </message>
  <message>
   <source>Scale a larger result down until its longer side has this many pixels; 0 keeps its size.</source>
   <translation>Ein größeres Ergebnis verkleinern, bis seine längere Seite so viele Pixel hat; 0 lässt die Größe.</translation>
  </message>
  <message>
   <source>Scale it down first.</source>
   <translation>Erst verkleinern.</translation>
  </message>
  <message>
   <source>Scale it down or cut it first.</source>
   <translation>Verkleinern oder beschneiden Sie es zuerst.</translation>
  </message>
  <message>
   <source>Scale with distance</source>
   <translation>Mit dem Abstand skalieren</translation>
  </message>
  <message>
   <source>See animate jobs list.</source>
   <translation>Siehe animate jobs list.</translation>
  </message>
  <message>
   <source>Send the live result to this address</source>
   <translation>Das Live-Ergebnis an diese Adresse senden</translation>
  </message>
  <message>
   <source>Set a keyframe with the current pose at this time, and reset the sliders.</source>
   <translation>Setzt an dieser Stelle ein Schlüsselbild mit der jetzigen Pose und stellt die Regler zurück.</translation>
  </message>
  <message>
   <source>Set a smaller size in the camera.</source>
   <translation>An der Kamera eine kleinere Größe wählen.</translation>
  </message>
  <message>
   <source>Set keyframe</source>
   <translation>Schlüsselbild setzen</translation>
  </message>
  <message>
   <source>Set poses at points in time; the portrait moves from one to the next.</source>
   <translation>Posen zu bestimmten Zeitpunkten setzen; das Porträt bewegt sich von einer zur nächsten.</translation>
  </message>
  <message>
   <source>Sets of option values: choose, save, import, export.</source>
   <translation>Sätze von Einstellungen: wählen, speichern, importieren, exportieren.</translation>
  </message>
  <message>
   <source>Several cameras match {wanted!r}.</source>
   <translation>Mehrere Kameras heißen so ähnlich wie {wanted!r}.</translation>
  </message>
  <message>
   <source>Shift of the crop downward, as a share of its side.</source>
   <translation>Verschiebung des Ausschnitts nach unten, als Anteil seiner Seite.</translation>
  </message>
  <message>
   <source>Shift of the crop to the right, as a share of its side.</source>
   <translation>Verschiebung des Ausschnitts nach rechts, als Anteil seiner Seite.</translation>
  </message>
  <message>
   <source>Shipped with the app.</source>
   <translation>Gehört zum Programm.</translation>
  </message>
  <message>
   <source>Show advanced options</source>
   <translation>Erweiterte Einstellungen zeigen</translation>
  </message>
  <message>
   <source>Show camera images</source>
   <translation>Bilder der Kameras zeigen</translation>
  </message>
  <message>
   <source>Show cameras as thumbnails</source>
   <translation>Kameras als Bilder zeigen</translation>
  </message>
  <message>
   <source>Show drivers as thumbnails</source>
   <translation>Antriebe als Bilder zeigen</translation>
  </message>
  <message>
   <source>Show file</source>
   <translation>Datei zeigen</translation>
  </message>
  <message>
   <source>Show landmarks</source>
   <translation>Gesichtspunkte zeigen</translation>
  </message>
  <message>
   <source>Show mask</source>
   <translation>Maske zeigen</translation>
  </message>
  <message>
   <source>Show report</source>
   <translation>Bericht zeigen</translation>
  </message>
  <message>
   <source>Show the report</source>
   <translation>Bericht zeigen</translation>
  </message>
  <message>
   <source>Shows options that are seldom needed.</source>
   <translation>Zeigt Einstellungen, die selten gebraucht werden.</translation>
  </message>
  <message>
   <source>Shows or hides the controls below.</source>
   <translation>Zeigt oder verbirgt die Regler darunter.</translation>
  </message>
  <message>
   <source>Side</source>
   <translation>Seite</translation>
  </message>
  <message>
   <source>Side by side</source>
   <translation>Nebeneinander</translation>
  </message>
  <message>
   <source>Side of the animated crop, relative to the size of the face.</source>
   <translation>Seite des animierten Ausschnitts im Verhältnis zum Gesicht.</translation>
  </message>
  <message>
   <source>Side of the crop, in pixels of the image</source>
   <translation>Seite des Ausschnitts in Pixeln des Bildes</translation>
  </message>
  <message>
   <source>Single pixels (1:1)</source>
   <translation>Einzelne Pixel (1:1)</translation>
  </message>
  <message>
   <source>Size</source>
   <translation>Größe</translation>
  </message>
  <message>
   <source>Size of the head.</source>
   <translation>Größe des Kopfes.</translation>
  </message>
  <message>
   <source>Size of the virtual camera, such as 1280x720; empty uses the size of the image.</source>
   <translation>Größe der virtuellen Kamera, etwa 1280x720; leer nimmt die des Bildes.</translation>
  </message>
  <message>
   <source>Size to request from the camera, such as 640x480; empty uses the camera's default. A larger one is slower and seldom looks better.</source>
   <translation>Größe, die von der Kamera verlangt wird, etwa 640x480; leer überlässt es ihr. Größer ist langsamer und sieht selten besser aus.</translation>
  </message>
  <message>
   <source>Skipped {names}: {reason}.</source>
   <translation>Nicht {names}: {reason}.</translation>
  </message>
  <message>
   <source>Sliders</source>
   <translation>Regler</translation>
  </message>
  <message>
   <source>Sliders only</source>
   <translation>Nur Regler</translation>
  </message>
  <message>
   <source>Small, smooth motion for photos that should move only a little.</source>
   <translation>Kleine, ruhige Bewegung für Fotos, die sich nur wenig bewegen sollen.</translation>
  </message>
  <message>
   <source>Smile</source>
   <translation>Lächeln</translation>
  </message>
  <message>
   <source>Smile; below 0 turns the corners down.</source>
   <translation>Lächelt; unter 0 zieht die Mundwinkel nach unten.</translation>
  </message>
  <message>
   <source>Smooth</source>
   <translation>Weich</translation>
  </message>
  <message>
   <source>Smoothing</source>
   <translation>Glättung</translation>
  </message>
  <message>
   <source>Something in front of the face in {name} stays in place; {option:mask} template moves it along.</source>
   <translation>Etwas vor dem Gesicht in {name} bleibt an seinem Platz; {option:mask} template bewegt es mit.</translation>
  </message>
  <message>
   <source>Something went wrong</source>
   <translation>Das hat nicht geklappt</translation>
  </message>
  <message>
   <source>Sound</source>
   <translation>Ton</translation>
  </message>
  <message>
   <source>Sound at the end of renders</source>
   <translation>Ton am Ende des Renderns</translation>
  </message>
  <message>
   <source>Sound in the preview needs the package sounddevice.</source>
   <translation>Für Ton in der Vorschau fehlt das Paket sounddevice.</translation>
  </message>
  <message>
   <source>Sound off</source>
   <translation>Ton aus</translation>
  </message>
  <message>
   <source>Source</source>
   <translation>Quelle</translation>
  </message>
  <message>
   <source>Source crop</source>
   <translation>Ausschnitt der Quelle</translation>
  </message>
  <message>
   <source>Source duration</source>
   <translation>Dauer der Quelle</translation>
  </message>
  <message>
   <source>Source end</source>
   <translation>Ende der Quelle</translation>
  </message>
  <message>
   <source>Source face</source>
   <translation>Gesicht der Quelle</translation>
  </message>
  <message>
   <source>Source start</source>
   <translation>Beginn der Quelle</translation>
  </message>
  <message>
   <source>Source video only: keep the eye opening of its first frame under the driving motion.</source>
   <translation>Nur für Quellvideos: behält die Augenöffnung des ersten Bildes bei.</translation>
  </message>
  <message>
   <source>Source: {source}</source>
   <translation>Quelle: {source}</translation>
  </message>
  <message>
   <source>Speak like a sound, or follow a template or keyframes.</source>
   <translation>Wie ein Ton sprechen oder einer Vorlage oder Schlüsselbildern folgen.</translation>
  </message>
  <message>
   <source>Split them into several batches.</source>
   <translation>Mehrere Stapel daraus machen.</translation>
  </message>
  <message>
   <source>Spout does not accept frames.</source>
   <translation>Spout nimmt kein Bild an.</translation>
  </message>
  <message>
   <source>Start again</source>
   <translation>Neu beginnen</translation>
  </message>
  <message>
   <source>Start of the part of a source clip to use.</source>
   <translation>Beginn des benutzten Teils eines Quellvideos.</translation>
  </message>
  <message>
   <source>Start of the part of the driving clip to use: seconds, or minutes and seconds such as 1:02.5.</source>
   <translation>Beginn des benutzten Teils des treibenden Videos: Sekunden, oder Minuten und Sekunden wie 1:02.5.</translation>
  </message>
  <message>
   <source>Start the receiver, and check the address.</source>
   <translation>Starten Sie den Empfänger und prüfen Sie die Adresse.</translation>
  </message>
  <message>
   <source>Start the receiver.</source>
   <translation>Starten Sie den Empfänger.</translation>
  </message>
  <message>
   <source>Starting…</source>
   <translation>Startet …</translation>
  </message>
  <message>
   <source>Statistics</source>
   <translation>Statistik</translation>
  </message>
  <message>
   <source>Steady source eyes</source>
   <translation>Augen der Quelle ruhig halten</translation>
  </message>
  <message>
   <source>Stitching</source>
   <translation>Anschluss halten</translation>
  </message>
  <message>
   <source>Stitching and retargeting</source>
   <translation>Anschluss und Angleichung</translation>
  </message>
  <message>
   <source>Stop</source>
   <translation>Anhalten</translation>
  </message>
  <message>
   <source>Stop and quit</source>
   <translation>Anhalten und beenden</translation>
  </message>
  <message>
   <source>Stop the download of {name}</source>
   <translation>Laden von {name} anhalten</translation>
  </message>
  <message>
   <source>Stopped while the motion was read; nothing was written.</source>
   <translation>Angehalten, während die Bewegung gelesen wurde; nichts wurde geschrieben.</translation>
  </message>
  <message>
   <source>Stopped while the sound was read.</source>
   <translation>Beim Lesen des Tons abgebrochen.</translation>
  </message>
  <message>
   <source>Stopped while {what}.</source>
   <translation>Angehalten bei: {what}.</translation>
  </message>
  <message>
   <source>Stopped while {what}; {lost}.</source>
   <translation>Angehalten bei: {what}; {lost}.</translation>
  </message>
  <message>
   <source>Stopped; nothing was written.</source>
   <translation>Angehalten; es wurde nichts geschrieben.</translation>
  </message>
  <message>
   <source>Stopped; {lost}.</source>
   <translation>Angehalten; {lost}.</translation>
  </message>
  <message>
   <source>Stream address</source>
   <translation>Adresse des Streams</translation>
  </message>
  <message>
   <source>Stream to</source>
   <translation>Streamen an</translation>
  </message>
  <message>
   <source>Streams</source>
   <translation>Streams</translation>
  </message>
  <message>
   <source>Strength of blinks and eye opening.</source>
   <translation>Stärke von Blinzeln und Augenöffnung.</translation>
  </message>
  <message>
   <source>Strength of lip and jaw motion.</source>
   <translation>Stärke der Lippen- und Kieferbewegung.</translation>
  </message>
  <message>
   <source>Strength of the whole motion; 1 is the driver's own.</source>
   <translation>Stärke der ganzen Bewegung; 1 ist die des Antriebs.</translation>
  </message>
  <message>
   <source>Stronger expression.</source>
   <translation>Stärkerer Ausdruck.</translation>
  </message>
  <message>
   <source>Surprise</source>
   <translation>Überraschung</translation>
  </message>
  <message>
   <source>Switches each camera on for a moment, and off again.</source>
   <translation>Schaltet jede Kamera kurz ein und wieder aus.</translation>
  </message>
  <message>
   <source>Target frame rate</source>
   <translation>Zu haltende Bildrate</translation>
  </message>
  <message>
   <source>Tell them apart with {source_folder}, {driving_folder}, {name} or {index} in the output's name.</source>
   <translation>Mit {source_folder}, {driving_folder}, {name} oder {index} im Namen der Ausgabe unterscheiden.</translation>
  </message>
  <message>
   <source>Temporary files can't be written to {parent}: {error}.</source>
   <translation>Zwischendateien können nicht nach {parent} geschrieben werden: {error}.</translation>
  </message>
  <message>
   <source>The MIDI input {name} can't be opened: {error}.</source>
   <translation>Der MIDI-Eingang {name} lässt sich nicht öffnen: {error}.</translation>
  </message>
  <message>
   <source>The animated crop gets smaller if this rate, or the camera's own if that is lower, can't be reached.</source>
   <translation>Der animierte Ausschnitt wird kleiner, wenn diese Bildrate, oder die der Kamera, falls sie niedriger ist, nicht erreicht wird.</translation>
  </message>
  <message>
   <source>The animated crop was reduced from {old} to {fitting} px to hold {wanted:.0f} frames/s.</source>
   <translation>Der animierte Ausschnitt wurde von {old} auf {fitting} px verkleinert, um {wanted:.0f} Bilder/s zu halten.</translation>
  </message>
  <message>
   <source>The box moves, scales and rotates the whole face. Arrow keys move the selected handle.</source>
   <translation>Der Rahmen verschiebt, vergrößert und dreht das ganze Gesicht. Pfeiltasten bewegen den gewählten Griff.</translation>
  </message>
  <message>
   <source>The built-in engine needs no download. Nothing is fetched unless you ask for it here.</source>
   <translation>Die eingebaute Engine braucht keinen Download. Geladen wird nur, was Sie hier verlangen.</translation>
  </message>
  <message>
   <source>The camera is back.</source>
   <translation>Die Kamera ist wieder da.</translation>
  </message>
  <message>
   <source>The camera {name} is not connected.</source>
   <translation>Die Kamera {name} ist nicht angeschlossen.</translation>
  </message>
  <message>
   <source>The camera {name} is not open.</source>
   <translation>Die Kamera {name} ist nicht geöffnet.</translation>
  </message>
  <message>
   <source>The clip has {count} shots; each is measured from its own neutral frame.</source>
   <translation>Der Clip hat {count} Einstellungen; jede wird von ihrem eigenen neutralen Bild aus gemessen.</translation>
  </message>
  <message>
   <source>The columns source and driving are needed.</source>
   <translation>Die Spalten source und driving werden gebraucht.</translation>
  </message>
  <message>
   <source>The disk is nearly full: the recording has ended.</source>
   <translation>Der Datenträger ist fast voll: die Aufnahme wurde beendet.</translation>
  </message>
  <message>
   <source>The download of {file} was cancelled; the received part is kept.</source>
   <translation>Das Laden von {file} wurde beendet; was da ist, bleibt erhalten.</translation>
  </message>
  <message>
   <source>The driver's pose and expression as they are, not relative to the source's own.</source>
   <translation>Haltung und Ausdruck des Antriebs, wie sie sind, nicht relativ zur Quelle.</translation>
  </message>
  <message>
   <source>The driving file must show one face, large and from the front.</source>
   <translation>Der Antrieb muss ein Gesicht zeigen, groß und von vorn.</translation>
  </message>
  <message>
   <source>The end of {path} ({end:g} s) is not after its start.</source>
   <translation>Das Ende von {path} ({end:g} s) liegt nicht nach dem Anfang.</translation>
  </message>
  <message>
   <source>The engine is fast enough: the animated crop was enlarged to {larger} px.</source>
   <translation>Die Engine ist schnell genug: Der animierte Ausschnitt wurde auf {larger} px vergrößert.</translation>
  </message>
  <message>
   <source>The engine {name} can't be loaded ({name2}: {error}).</source>
   <translation>Die Engine {name} lässt sich nicht laden ({name2}: {error}).</translation>
  </message>
  <message>
   <source>The expression was deleted.</source>
   <translation>Der Ausdruck wurde gelöscht.</translation>
  </message>
  <message>
   <source>The expression was imported.</source>
   <translation>Der Ausdruck wurde importiert.</translation>
  </message>
  <message>
   <source>The expression was saved.</source>
   <translation>Der Ausdruck wurde gespeichert.</translation>
  </message>
  <message>
   <source>The expression, except for lips and eyes, comes from this clip or template.</source>
   <translation>Der Ausdruck kommt aus diesem Clip oder dieser Vorlage, ohne Lippen und Augen.</translation>
  </message>
  <message>
   <source>The eyes come from this clip or template.</source>
   <translation>Die Augen kommen aus diesem Clip oder dieser Vorlage.</translation>
  </message>
  <message>
   <source>The eyes in {name} seem to be hidden, as by sunglasses; neither lids nor gaze are animated.</source>
   <translation>Die Augen in {name} sind anscheinend verdeckt, etwa von einer Sonnenbrille; weder Lider noch Blick werden animiert.</translation>
  </message>
  <message>
   <source>The face to animate</source>
   <translation>Das Gesicht, das animiert wird</translation>
  </message>
  <message>
   <source>The fill colour has no effect on the bare crop ({option:paste_back=off}).</source>
   <translation>Die Füllfarbe hat beim bloßen Ausschnitt ({option:paste_back=off}) keine Wirkung.</translation>
  </message>
  <message>
   <source>The folder {name} holds no images and no clips.</source>
   <translation>Der Ordner {name} enthält weder Bilder noch Clips.</translation>
  </message>
  <message>
   <source>The handles don't form a face: {problem}.</source>
   <translation>Die Griffe ergeben kein Gesicht: {problem}.</translation>
  </message>
  <message>
   <source>The image of camera {name} is black: open its shutter, or close other programs that use it.</source>
   <translation>Die Kamera {name} zeigt Schwarz: die Blende öffnen, oder das Programm schließen, das sie hält.</translation>
  </message>
  <message>
   <source>The image was copied.</source>
   <translation>Das Bild wurde kopiert.</translation>
  </message>
  <message>
   <source>The jobs remain in the queue; resume them there.</source>
   <translation>Die Aufträge warten in der Liste; setzen Sie sie dort fort.</translation>
  </message>
  <message>
   <source>The last frame is held.</source>
   <translation>Das letzte bleibt stehen.</translation>
  </message>
  <message>
   <source>The lips come from this clip, template or sound.</source>
   <translation>Die Lippen kommen aus diesem Clip, dieser Vorlage oder diesem Ton.</translation>
  </message>
  <message>
   <source>The lower half of the face in {name} seems to be covered; only head, brows and eyes are animated.</source>
   <translation>Die untere Hälfte des Gesichts in {name} ist anscheinend verdeckt; nur Kopf, Brauen und Augen werden animiert.</translation>
  </message>
  <message>
   <source>The microphone can't be opened: {error}.</source>
   <translation>Das Mikrofon lässt sich nicht öffnen: {error}.</translation>
  </message>
  <message>
   <source>The microphone delivered no sound after {since:.1f} s.</source>
   <translation>Das Mikrofon gab nach {since:.1f} s keinen Ton mehr.</translation>
  </message>
  <message>
   <source>The microphone drives instead of a camera: what you say moves the lips, a fifth of a second later.</source>
   <translation>Das Mikrofon treibt an statt einer Kamera: Was Sie sagen, bewegt die Lippen, eine Fünftelsekunde später.</translation>
  </message>
  <message>
   <source>The neutral reference has no effect on absolute motion ({option:relative=off}).</source>
   <translation>Die neutrale Referenz hat bei absoluter Bewegung ({option:relative=off}) keine Wirkung.</translation>
  </message>
  <message>
   <source>The official rules of animals know no regions; {option:region} has no effect with {option:official}.</source>
   <translation>Die offiziellen Regeln für Tiere kennen keine Bereiche; {option:region} hat mit {option:official} keine Wirkung.</translation>
  </message>
  <message>
   <source>The output rate is {rate} frames per second.</source>
   <translation>Die Ausgabe hat {rate} Bilder je Sekunde.</translation>
  </message>
  <message>
   <source>The output size {size}x{size2} has no pixels.</source>
   <translation>Die Ausgabegröße {size}x{size2} ist leer.</translation>
  </message>
  <message>
   <source>The output {sink} no longer responds and is skipped.</source>
   <translation>Die Ausgabe {sink} antwortet nicht mehr und wird ausgelassen.</translation>
  </message>
  <message>
   <source>The path {folder} is longer than the system allows.</source>
   <translation>{folder} ist ein längerer Pfad, als das System erlaubt.</translation>
  </message>
  <message>
   <source>The portrait breathes, blinks and looks around by itself.</source>
   <translation>Das Porträt atmet, blinzelt und schaut von selbst umher.</translation>
  </message>
  <message>
   <source>The presence threshold must lie between 0 and 1, not {min_presence}.</source>
   <translation>Die Schwelle für ein Gesicht muss zwischen 0 und 1 liegen, nicht {min_presence}.</translation>
  </message>
  <message>
   <source>The preset was deleted.</source>
   <translation>Die Voreinstellung wurde gelöscht.</translation>
  </message>
  <message>
   <source>The preset was imported.</source>
   <translation>Die Voreinstellung wurde importiert.</translation>
  </message>
  <message>
   <source>The preset was saved.</source>
   <translation>Die Voreinstellung wurde gespeichert.</translation>
  </message>
  <message>
   <source>The presets {names} refer to each other in a circle.</source>
   <translation>Die Voreinstellungen {names} bauen im Kreis aufeinander auf.</translation>
  </message>
  <message>
   <source>The preview is silent: {error}.</source>
   <translation>Die Vorschau ist stumm: {error}.</translation>
  </message>
  <message>
   <source>The program is free software under the MIT licence. Parts of it and their terms:</source>
   <translation>Das Programm ist freie Software unter der MIT-Lizenz. Seine Teile und deren Bedingungen:</translation>
  </message>
  <message>
   <source>The quality {quality} is out of range.</source>
   <translation>Die Qualität ist {quality}.</translation>
  </message>
  <message>
   <source>The recording {name} was cut off. It can be completed.</source>
   <translation>Die Aufnahme {name} wurde abgebrochen. Sie kann vervollständigt werden.</translation>
  </message>
  <message>
   <source>The rendering process has ended ({how}).</source>
   <translation>Der Prozess, der rendert, ist beendet ({how}).</translation>
  </message>
  <message>
   <source>The result has no signed credentials: {why}. Its metadata say that AI made it.</source>
   <translation>Das Ergebnis hat keinen signierten Nachweis: {why}. Seine Metadaten sagen, dass KI es gemacht hat.</translation>
  </message>
  <message>
   <source>The result is kept as {kept}.</source>
   <translation>Das Ergebnis liegt als {kept} bereit.</translation>
  </message>
  <message>
   <source>The result is not marked as made by AI ({option:mark} off); in the European Union and elsewhere the law may ask you to label it yourself.</source>
   <translation>Das Ergebnis ist nicht als KI-gemacht gekennzeichnet ({option:mark} off); in der Europäischen Union und anderswo kann das Gesetz verlangen, dass Sie es selbst kennzeichnen.</translation>
  </message>
  <message>
   <source>The result is shown at {address}.</source>
   <translation>Das Ergebnis ist unter {address} zu sehen.</translation>
  </message>
  <message>
   <source>The shaded part stays unchanged; at the soft border both are blended.</source>
   <translation>Was im Schatten liegt, bleibt wie es ist; am weichen Rand wird beides gemischt.</translation>
  </message>
  <message>
   <source>The signed credentials can't be read back ({codes}); the metadata say that AI made the result.</source>
   <translation>Der signierte Nachweis kann nicht zurückgelesen werden ({codes}); die Metadaten sagen, dass KI das Ergebnis gemacht hat.</translation>
  </message>
  <message>
   <source>The size is not known. The files go into {folder}.</source>
   <translation>Die Quelle nennt die Größe nicht. Geladen wird nach {folder}.</translation>
  </message>
  <message>
   <source>The sliders on the right pose the portrait.</source>
   <translation>Die Regler rechts bewegen das Porträt.</translation>
  </message>
  <message>
   <source>The sound of this file, sound or video, moves the lips and becomes the sound of the result; the driving file moves the rest.</source>
   <translation>Der Ton dieser Datei (Ton oder Video) bewegt die Lippen und kommt ins Ergebnis; der Antrieb bewegt den Rest.</translation>
  </message>
  <message>
   <source>The sound of {path} is truncated after {end:.1f} of {whole:.1f} s.</source>
   <translation>Der Ton von {path} bricht nach {end:.1f} von {whole:.1f} s ab.</translation>
  </message>
  <message>
   <source>The sound of {path} is truncated: its last part is missing.</source>
   <translation>Der Ton von {path} bricht ab: Sein letzter Teil fehlt.</translation>
  </message>
  <message>
   <source>The sound of {path} is truncated: {why}.</source>
   <translation>Der Ton von {path} bricht ab: {why}.</translation>
  </message>
  <message>
   <source>The source is an animal: use LivePortrait's weights for animals. Set its crop by hand, for example with {option:crop}; the official detector of animal faces needs a CUDA build and is not part of this program.</source>
   <translation>Die Quelle ist ein Tier: die LivePortrait-Gewichte für Tiere verwenden. Der Ausschnitt wird von Hand gesetzt, etwa mit {option:crop}; der offizielle Detektor für Tiergesichter braucht einen CUDA-Bau und gehört nicht zu diesem Programm.</translation>
  </message>
  <message>
   <source>The start of {path} is {start:g} s.</source>
   <translation>Der Anfang von {path} ist {start:g} s.</translation>
  </message>
  <message>
   <source>The upper half of the face in {name} seems to be covered; only head and mouth are animated.</source>
   <translation>Die obere Hälfte des Gesichts in {name} ist anscheinend verdeckt; nur Kopf und Mund werden animiert.</translation>
  </message>
  <message>
   <source>The virtual camera can't be opened: {text}.</source>
   <translation>Die virtuelle Kamera lässt sich nicht öffnen: {text}.</translation>
  </message>
  <message>
   <source>The virtual camera can't be used: {device} is the driver.</source>
   <translation>Die virtuelle Kamera kann nicht benutzt werden: {device} ist die Kamera, die das Bild bewegt.</translation>
  </message>
  <message>
   <source>The virtual camera needs the package pyvirtualcam.</source>
   <translation>Für die virtuelle Kamera fehlt das Paket pyvirtualcam.</translation>
  </message>
  <message>
   <source>The virtual camera stopped: {error}.</source>
   <translation>Die virtuelle Kamera ist stehengeblieben: {error}.</translation>
  </message>
  <message>
   <source>The voice lasts {voice:.1f} s and the driving file {clip:.1f} s; the result ends with the driving file.</source>
   <translation>Die Stimme dauert {voice:.1f} s, der Antrieb {clip:.1f} s; das Ergebnis endet mit dem Antrieb.</translation>
  </message>
  <message>
   <source>The weights of {choice} are not installed. Train it with tools/train_detector.py and put the exported file at {path}, or name the file itself.</source>
   <translation>Gewichte von {choice} sind nicht hier. Mit tools/train_detector.py trainieren und die exportierte Datei als {path} ablegen, oder die Datei selbst nennen.</translation>
  </message>
  <message>
   <source>The weights of {name} were downloaded.</source>
   <translation>Die Gewichte von {name} sind angekommen.</translation>
  </message>
  <message>
   <source>The window can't start: {error}.</source>
   <translation>Das Fenster kann nicht starten: {error}.</translation>
  </message>
  <message>
   <source>The window needs PySide6, which is not installed.</source>
   <translation>Das Fenster braucht PySide6, das nicht installiert ist.</translation>
  </message>
  <message>
   <source>The worker crashed {crashes} times on this job{reason}.</source>
   <translation>Der Arbeiter ist {crashes} Mal an diesem Auftrag gestorben{reason}.</translation>
  </message>
  <message>
   <source>The workers exit immediately{last_line}.</source>
   <translation>Die Arbeiter enden sofort{last_line}.</translation>
  </message>
  <message>
   <source>The workers take none of the waiting jobs.</source>
   <translation>Die Arbeiter nehmen keinen der wartenden Aufträge an.</translation>
  </message>
  <message>
   <source>The {name} engine can't run here: {reason}</source>
   <translation>Die Engine {name} kann hier nicht laufen: {reason}</translation>
  </message>
  <message>
   <source>The {spec} engine doesn't run on {device!r}; it supports {known}.</source>
   <translation>Die Engine {spec} läuft nicht auf {device!r}; sie kennt {known}.</translation>
  </message>
  <message>
   <source>The {spec} engine has a crop of fixed size; leave max_crop at 0.</source>
   <translation>Die Engine {spec} hat einen Ausschnitt fester Größe; max_crop bleibt 0.</translation>
  </message>
  <message>
   <source>Their numbers must be equal.</source>
   <translation>Von beiden müssen es gleich viele sein.</translation>
  </message>
  <message>
   <source>There are {names}.</source>
   <translation>Es gibt {names}.</translation>
  </message>
  <message>
   <source>There is no MIDI input named {name!r}.</source>
   <translation>Einen MIDI-Eingang namens {name!r} gibt es nicht.</translation>
  </message>
  <message>
   <source>There is no camera and no file named {wanted!r}.</source>
   <translation>Es gibt keine Kamera und keine Datei namens {wanted!r}.</translation>
  </message>
  <message>
   <source>There is no camera {index}.</source>
   <translation>Es gibt keine Kamera {index}.</translation>
  </message>
  <message>
   <source>There is no engine named {name!r}; known are auto, {names}.</source>
   <translation>Eine Engine namens {name!r} gibt es nicht; bekannt sind auto, {names}.</translation>
  </message>
  <message>
   <source>There is no face to choose from.</source>
   <translation>Es gibt kein Gesicht zur Wahl.</translation>
  </message>
  <message>
   <source>There is no hardware encoder for {codec}; {option:hardware} has no effect.</source>
   <translation>Für {codec} gibt es keinen Hardware-Encoder; {option:hardware} hat keine Wirkung.</translation>
  </message>
  <message>
   <source>There is no image in the clipboard.</source>
   <translation>In der Zwischenablage ist kein Bild.</translation>
  </message>
  <message>
   <source>There is no job {missing} in {path}.</source>
   <translation>Einen Auftrag {missing} gibt es in {path} nicht.</translation>
  </message>
  <message>
   <source>There is no live option named {name!r}; known are {names}.</source>
   <translation>Eine Live-Option namens {name!r} gibt es nicht; bekannt sind {names}.</translation>
  </message>
  <message>
   <source>There is no model {name!r}; known are {names}.</source>
   <translation>Ein Modell {name!r} gibt es nicht; bekannt sind {names}.</translation>
  </message>
  <message>
   <source>There is no portrait.</source>
   <translation>Es gibt kein Porträt.</translation>
  </message>
  <message>
   <source>There is no preset named {name}; known are {names}.</source>
   <translation>Es gibt keine Voreinstellung namens {name}; bekannt sind {names}.</translation>
  </message>
  <message>
   <source>There is no virtual camera on this computer ({text}).</source>
   <translation>Auf diesem Rechner gibt es keine virtuelle Kamera ({text}).</translation>
  </message>
  <message>
   <source>There is not enough disk space for the signed credentials; the metadata say that AI made the result.</source>
   <translation>Auf der Platte ist kein Platz für den signierten Nachweis; die Metadaten sagen, dass KI das Ergebnis gemacht hat.</translation>
  </message>
  <message>
   <source>These files no longer exist and were left out: {names}.</source>
   <translation>Diese Dateien gibt es nicht mehr, sie wurden weggelassen: {names}.</translation>
  </message>
  <message>
   <source>These parts follow the driver instead.</source>
   <translation>Was sie bewegen, folgt stattdessen dem Antrieb.</translation>
  </message>
  <message>
   <source>This address is already in the list.</source>
   <translation>Diese Adresse steht schon in der Liste.</translation>
  </message>
  <message>
   <source>This app can't download it.</source>
   <translation>Dieses Programm kann es nicht herunterladen.</translation>
  </message>
  <message>
   <source>This computer manages {rate:.0f} of {wanted:.0f} frames/s; the others are dropped.</source>
   <translation>Dieser Rechner schafft {rate:.0f} von {wanted:.0f} Bildern/s; die übrigen fallen weg.</translation>
  </message>
  <message>
   <source>This installation's FFmpeg can't read {scheme} URLs.</source>
   <translation>Das FFmpeg dieser Installation kann keine Adressen mit {scheme} lesen.</translation>
  </message>
  <message>
   <source>This program's own is {own}; portrait-animate starts it too.</source>
   <translation>Das Programm selbst ist {own}; portrait-animate startet es auch.</translation>
  </message>
  <message>
   <source>Threads</source>
   <translation>Threads</translation>
  </message>
  <message>
   <source>Tilt</source>
   <translation>Neigen</translation>
  </message>
  <message>
   <source>Tilt the head toward a shoulder.</source>
   <translation>Neigt den Kopf zur Schulter.</translation>
  </message>
  <message>
   <source>Time</source>
   <translation>Zeit</translation>
  </message>
  <message>
   <source>Tip of the nose</source>
   <translation>Nasenspitze</translation>
  </message>
  <message>
   <source>To the beginning</source>
   <translation>Zum Anfang</translation>
  </message>
  <message>
   <source>Top of the face</source>
   <translation>Oberer Rand des Gesichts</translation>
  </message>
  <message>
   <source>Tracker</source>
   <translation>Tracker</translation>
  </message>
  <message>
   <source>Transition to the next keyframe</source>
   <translation>Übergang zum nächsten Schlüsselbild</translation>
  </message>
  <message>
   <source>Try again</source>
   <translation>Noch einmal versuchen</translation>
  </message>
  <message>
   <source>Trying again every {retry:g} s.</source>
   <translation>Alle {retry:g} s wird es wieder versucht.</translation>
  </message>
  <message>
   <source>Trying again.</source>
   <translation>Es wird erneut versucht.</translation>
  </message>
  <message>
   <source>Turn</source>
   <translation>Drehen</translation>
  </message>
  <message>
   <source>Turn the head no further than the photo allows; a photo taken from the side allows less. Only the embedded engine needs this.</source>
   <translation>Dreht den Kopf nur so weit, wie das Foto es erlaubt; eines von der Seite erlaubt weniger. Nur die eingebaute Engine braucht das.</translation>
  </message>
  <message>
   <source>Turn the head sideways.</source>
   <translation>Dreht den Kopf zur Seite.</translation>
  </message>
  <message>
   <source>Turn the head up or down.</source>
   <translation>Neigt den Kopf nach oben oder unten.</translation>
  </message>
  <message>
   <source>Turns and shifts of the head come from this clip or template.</source>
   <translation>Drehungen und Verschiebungen des Kopfes kommen aus diesem Clip oder dieser Vorlage.</translation>
  </message>
  <message>
   <source>U</source>
   <translation>U</translation>
  </message>
  <message>
   <source>URL of the camera, such as rtsp://192.168.1.20/live or http://192.168.1.30:8080/video</source>
   <translation>Adresse der Kamera, etwa rtsp://192.168.1.20/live oder http://192.168.1.30:8080/video</translation>
  </message>
  <message>
   <source>Undo</source>
   <translation>Rückgängig</translation>
  </message>
  <message>
   <source>Unknown codec {codec!r}.</source>
   <translation>Den Codec {codec!r} gibt es hier nicht.</translation>
  </message>
  <message>
   <source>Update the program to open it.</source>
   <translation>Aktualisieren Sie das Programm, um es zu öffnen.</translation>
  </message>
  <message>
   <source>Update the program, or save the file again with this version.</source>
   <translation>Das Programm aktualisieren, oder die Datei mit diesem speichern.</translation>
  </message>
  <message>
   <source>Update the program.</source>
   <translation>Das Programm aktualisieren.</translation>
  </message>
  <message>
   <source>Upper edge of the mouth's opening</source>
   <translation>Oberer Rand der Mundöffnung</translation>
  </message>
  <message>
   <source>Use PNG, JPEG or WebP.</source>
   <translation>PNG, JPEG oder WebP nehmen.</translation>
  </message>
  <message>
   <source>Use a clip extension or a pattern like %05d.png.</source>
   <translation>Die Endung eines Clips oder ein Muster wie %05d.png nehmen.</translation>
  </message>
  <message>
   <source>Use a clip that shows a larger human face, upright and uncovered.</source>
   <translation>Nehmen Sie einen Clip, der ein menschliches Gesicht größer, aufrecht und unverdeckt zeigt.</translation>
  </message>
  <message>
   <source>Use an address with udp:// or rtmp:// instead.</source>
   <translation>Nehmen Sie stattdessen eine Adresse mit udp:// oder rtmp://.</translation>
  </message>
  <message>
   <source>Use an image that shows a larger human face, upright and uncovered.</source>
   <translation>Nehmen Sie ein Bild, das ein menschliches Gesicht größer, aufrecht und unverdeckt zeigt.</translation>
  </message>
  <message>
   <source>Use another extension.</source>
   <translation>Eine andere Endung nehmen.</translation>
  </message>
  <message>
   <source>Use as the driver</source>
   <translation>Als Antrieb verwenden</translation>
  </message>
  <message>
   <source>Use auto or none.</source>
   <translation>auto oder none nehmen.</translation>
  </message>
  <message>
   <source>Use auto, {names}, gif or png.</source>
   <translation>auto, {names}, gif oder png nehmen.</translation>
  </message>
  <message>
   <source>Use file names for both.</source>
   <translation>Geben Sie für beide Dateinamen an.</translation>
  </message>
  <message>
   <source>Use files that were downloaded separately.</source>
   <translation>Dateien nehmen, die anders geladen wurden.</translation>
  </message>
  <message>
   <source>Use letters or digits.</source>
   <translation>Buchstaben oder Ziffern verwenden.</translation>
  </message>
  <message>
   <source>Use loop, shortest, source or driving.</source>
   <translation>Nehmen Sie loop, shortest, source oder driving.</translation>
  </message>
  <message>
   <source>Use one of {known}.</source>
   <translation>Eines davon nehmen: {known}.</translation>
  </message>
  <message>
   <source>Use the expression {name}</source>
   <translation>Den Ausdruck {name} verwenden</translation>
  </message>
  <message>
   <source>Use the whole clip</source>
   <translation>Ganzen Clip verwenden</translation>
  </message>
  <message>
   <source>Use {others}, or another codec.</source>
   <translation>{others} oder einen anderen Codec nehmen.</translation>
  </message>
  <message>
   <source>Using engine {engine}, the best one available here.</source>
   <translation>Engine {engine} wird benutzt, die beste, die hier bereit ist.</translation>
  </message>
  <message>
   <source>VSeeFace, Waidayo, VMagicMirror and others that send the VMC protocol</source>
   <translation>VSeeFace, Waidayo, VMagicMirror und andere, die das VMC-Protokoll senden</translation>
  </message>
  <message>
   <source>Version {version}</source>
   <translation>Version {version}</translation>
  </message>
  <message>
   <source>Video bit rate of SRT, RTMP, UDP and RTP streams.</source>
   <translation>Bitrate des Bildes von SRT-, RTMP-, UDP- und RTP-Streams.</translation>
  </message>
  <message>
   <source>Video codec; {setting:auto} uses {setting:h264} for mp4, mov and mkv, {setting:vp9} for webm, and {setting:prores} for mov with transparency.</source>
   <translation>Videocodec; {setting:auto} nimmt {setting:h264} für mp4, mov und mkv, {setting:vp9} für webm und {setting:prores} für mov mit Transparenz.</translation>
  </message>
  <message>
   <source>View</source>
   <translation>Ansicht</translation>
  </message>
  <message>
   <source>Virtual camera</source>
   <translation>Virtuelle Kamera</translation>
  </message>
  <message>
   <source>Visible label</source>
   <translation>Sichtbare Kennzeichnung</translation>
  </message>
  <message>
   <source>Voice</source>
   <translation>Stimme</translation>
  </message>
  <message>
   <source>Voice or template</source>
   <translation>Stimme oder Vorlage</translation>
  </message>
  <message>
   <source>Voices and templates</source>
   <translation>Stimmen und Vorlagen</translation>
  </message>
  <message>
   <source>Volume</source>
   <translation>Lautstärke</translation>
  </message>
  <message>
   <source>Wait for it, or cancel it: animate jobs cancel.</source>
   <translation>Darauf warten, oder abbrechen: animate jobs cancel.</translation>
  </message>
  <message>
   <source>Wait for it, or stop it (animate jobs cancel --all), then try again.</source>
   <translation>Darauf warten oder es anhalten (animate jobs cancel --all), dann noch einmal versuchen.</translation>
  </message>
  <message>
   <source>Wait for them, cancel it (animate jobs cancel), or choose another name.</source>
   <translation>Warten Sie darauf, brechen Sie ihn ab (animate jobs cancel), oder wählen Sie einen anderen Namen.</translation>
  </message>
  <message>
   <source>Waiting for its turn…</source>
   <translation>Wartet, bis es an der Reihe ist…</translation>
  </message>
  <message>
   <source>Waiting for packets from {sender} at {place}.</source>
   <translation>Warten auf Pakete von {sender} bei {place}.</translation>
  </message>
  <message>
   <source>Waiting for the microphone.</source>
   <translation>Warte auf das Mikrofon.</translation>
  </message>
  <message>
   <source>Waiting for {count} jobs that another batch in the queue is processing.</source>
   <translation>Es wird auf {count} der Aufträge gewartet, an denen ein anderer Stapel der Warteschlange arbeitet.</translation>
  </message>
  <message>
   <source>Waits for the animation to run</source>
   <translation>Wartet, bis die Animation läuft</translation>
  </message>
  <message>
   <source>Warning</source>
   <translation>Warnung</translation>
  </message>
  <message>
   <source>What covers the face in {name} keeps its shape; without effect: {names}.</source>
   <translation>Was das Gesicht in {name} verdeckt, behält seine Form; ohne Wirkung: {names}.</translation>
  </message>
  <message>
   <source>What is installed and what can run</source>
   <translation>Was installiert ist und was laufen kann</translation>
  </message>
  <message>
   <source>What relative motion does with the photo's own mouth: {setting:relative} adds the driver's mouth motion to it, {setting:absolute} replaces it with the driver's mouth. {setting:auto} replaces it if the photo's mouth is open, as in a smile with teeth, so that two smiles don't add up; with the LivePortrait networks it always adds, as in the official release.</source>
   <translation>Was relative Bewegung mit dem Mund des Fotos macht: {setting:relative} fügt ihm die Mundbewegung des Antriebs hinzu, {setting:absolute} ersetzt ihn durch den Mund des Antriebs. {setting:auto} ersetzt ihn, wenn der Mund auf dem Foto offen ist, etwa bei einem Lächeln mit Zähnen, damit sich zwei Lächeln nicht addieren; mit den LivePortrait-Netzen fügt es immer hinzu, wie die offizielle Fassung.</translation>
  </message>
  <message>
   <source>What to do</source>
   <translation>Was zu tun ist</translation>
  </message>
  <message>
   <source>What was found</source>
   <translation>Was gefunden wurde</translation>
  </message>
  <message>
   <source>Where the driving clip has a cut, move smoothly from the pose before it to the one after it within this time instead of jumping; 0 jumps. 0.3 suits most cuts.</source>
   <translation>Wo das treibende Video geschnitten ist, läuft die Bewegung innerhalb dieser Zeit von der Haltung davor in die folgende über, statt zu springen; 0 lässt sie springen. 0,3 passt für die meisten Schnitte.</translation>
  </message>
  <message>
   <source>Whether this face moves.</source>
   <translation>Ob sich dieses Gesicht bewegt.</translation>
  </message>
  <message>
   <source>Which controller moves which slider, such as 1=smile,2/7=brow (controller, or channel/controller); empty uses the faders and knobs listed in docs/live.md.</source>
   <translation>Welcher Controller welchen Regler bewegt, etwa 1=smile,2/7=brow (Controller oder Kanal/Controller); leer gilt die Tabelle in docs/live.md.</translation>
  </message>
  <message>
   <source>Which face of the driving file is followed; the same choices as for the source.</source>
   <translation>Welchem Gesicht der antreibenden Datei gefolgt wird; dieselbe Auswahl wie bei der Quelle.</translation>
  </message>
  <message>
   <source>Which part of the animated crop is pasted back: auto (all of it, with a soft border; in photos, whatever covers the face stays in front: hands and objects in place, masks and sunglasses moving with the head), template (all of it), matte (only the person; objects in front of the face stay if their colour sets them apart), or a face parser, as parse/NAME or the path of its ONNX file (as auto, but in clips too, and everything in front stays in place).</source>
   <translation>Welcher Teil des animierten Ausschnitts zurück ins Bild kommt: auto (alles, mit weichem Rand; in Fotos bleibt vorn, was das Gesicht verdeckt: Hände und Gegenstände an ihrem Platz, Masken und Sonnenbrillen am Kopf), template (alles), matte (nur die Person; Gegenstände vor dem Gesicht bleiben, wenn ihre Farbe sie abhebt) oder ein Gesichtszerleger, als parse/NAME oder Pfad seiner ONNX-Datei (wie auto, doch auch in Clips, und alles davor bleibt an seinem Platz).</translation>
  </message>
  <message>
   <source>Which part of the driving motion is used: {setting:all}, {setting:exp} (without the head's pose), {setting:pose}, {setting:lip}, {setting:eyes}, or several, such as {setting:lip,eyes}.</source>
   <translation>Welcher Teil der treibenden Bewegung benutzt wird: {setting:all}, {setting:exp} (ohne Haltung des Kopfes), {setting:pose}, {setting:lip}, {setting:eyes} oder mehrere, etwa {setting:lip,eyes}.</translation>
  </message>
  <message>
   <source>Whose sound the result gets: {setting:driving}, {setting:source} or {setting:none}. If the selected file has no sound, the other one's is used.</source>
   <translation>Wessen Ton das Ergebnis bekommt: {setting:driving}, {setting:source} oder {setting:none}. Hat die gewählte Datei keinen Ton, wird der andere genommen.</translation>
  </message>
  <message>
   <source>Why</source>
   <translation>Warum</translation>
  </message>
  <message>
   <source>Width and height of the result, such as 1080x1920. Without it the result has the size of the source.</source>
   <translation>Breite und Höhe des Ergebnisses, wie 1080x1920. Ohne Angabe hat das Ergebnis die Größe der Quelle.</translation>
  </message>
  <message>
   <source>Window</source>
   <translation>Fenster</translation>
  </message>
  <message>
   <source>Wink</source>
   <translation>Zwinkern</translation>
  </message>
  <message>
   <source>Wink left</source>
   <translation>Zwinkern links</translation>
  </message>
  <message>
   <source>Wink right</source>
   <translation>Zwinkern rechts</translation>
  </message>
  <message>
   <source>With several faces, each crop follows its face.</source>
   <translation>Bei mehreren Gesichtern folgt jeder Ausschnitt seinem Gesicht.</translation>
  </message>
  <message>
   <source>With {option:relative=off}: {setting:pose-friendly} copies pose and expression, {setting:expression-friendly} adds the driver's change from its neutral reference, scaled to the size of the source's face. Relative motion does that anyway.</source>
   <translation>Mit {option:relative=off}: {setting:pose-friendly} übernimmt Haltung und Ausdruck, {setting:expression-friendly} fügt die Änderung des Antriebs gegenüber seinem Ruhebild hinzu, in der Größe des Gesichts der Quelle. Relative Bewegung tut das ohnehin.</translation>
  </message>
  <message>
   <source>Work in progress</source>
   <translation>Es wird noch gearbeitet</translation>
  </message>
  <message>
   <source>Worker {number} died{how} and is replaced.</source>
   <translation>Arbeiter {number} ist abgestürzt{how}; ein anderer tritt an seine Stelle.</translation>
  </message>
  <message>
   <source>Write %05d, or up to %0{digits}d.</source>
   <translation>Schreiben Sie %05d, höchstens %0{digits}d.</translation>
  </message>
  <message>
   <source>Write TOML, or: pip install pyyaml</source>
   <translation>TOML schreiben, oder: pip install pyyaml</translation>
  </message>
  <message>
   <source>Write {path}{ending}, or {path2}{sep} for a folder.</source>
   <translation>{path}{ending} schreiben, oder {path2}{sep} für einen Ordner.</translation>
  </message>
  <message>
   <source>Write {path}{name}.</source>
   <translation>{path}{name} schreiben.</translation>
  </message>
  <message>
   <source>Write {text} for the character itself.</source>
   <translation>Für das Zeichen selbst {text} schreiben.</translation>
  </message>
  <message>
   <source>Write {{{{{name}}}}} for the text itself.</source>
   <translation>Für den Text selbst {{{{{name}}}}} schreiben.</translation>
  </message>
  <message>
   <source>Your settings are kept. Please send this report to the developers.</source>
   <translation>Ihre Einstellungen bleiben erhalten. Bitte schicken Sie diesen Bericht an die Entwickler.</translation>
  </message>
  <message>
   <source>Zoom in</source>
   <translation>Vergrößern</translation>
  </message>
  <message>
   <source>Zoom out</source>
   <translation>Verkleinern</translation>
  </message>
  <message>
   <source>Zoom; fits the image</source>
   <translation>Zoom; passt das Bild ein</translation>
  </message>
  <message>
   <source>`animate doctor` shows what is missing.</source>
   <translation>`animate doctor` zeigt, was fehlt.</translation>
  </message>
  <message>
   <source>`animate doctor` shows what the others need.</source>
   <translation>`animate doctor` sagt, was andere brauchen.</translation>
  </message>
  <message>
   <source>`animate models download {model}` or `animate models import FOLDER` gets them.</source>
   <translation>`animate models download {model}` oder `animate models import ORDNER` holt sie.</translation>
  </message>
  <message>
   <source>a clip without frames shows nothing</source>
   <translation>ein Clip ohne Bilder zeigt nichts</translation>
  </message>
  <message>
   <source>a frame of it is not a table</source>
   <translation>eines ihrer Bilder ist keine Tabelle</translation>
  </message>
  <message>
   <source>a handle is not at a finite position</source>
   <translation>ein Griff liegt an keinem endlichen Ort</translation>
  </message>
  <message>
   <source>a key is created with the first result</source>
   <translation>ein Schlüssel entsteht mit dem ersten Ergebnis</translation>
  </message>
  <message>
   <source>a key of this installation: {own}</source>
   <translation>ein Schlüssel dieser Installation: {own}</translation>
  </message>
  <message>
   <source>a number</source>
   <translation>eine Zahl</translation>
  </message>
  <message>
   <source>a stream has an address such as {examples}.</source>
   <translation>ein Stream hat eine Adresse wie {examples}.</translation>
  </message>
  <message>
   <source>a table of names and values is expected</source>
   <translation>eine Tabelle aus Namen und Werten wird erwartet</translation>
  </message>
  <message>
   <source>a whole number</source>
   <translation>eine ganze Zahl</translation>
  </message>
  <message>
   <source>absolute</source>
   <translation>absolut</translation>
  </message>
  <message>
   <source>add portraits</source>
   <translation>Porträts hinzufügen</translation>
  </message>
  <message>
   <source>all</source>
   <translation>alles</translation>
  </message>
  <message>
   <source>all marks</source>
   <translation>alle Kennzeichen</translation>
  </message>
  <message>
   <source>all present</source>
   <translation>alle vorhanden</translation>
  </message>
  <message>
   <source>alpha is {shape}; ({height}, {width}) was promised</source>
   <translation>Alpha ist {shape}; versprochen war ({height}, {width})</translation>
  </message>
  <message>
   <source>an mjpeg address is mjpeg://HOST:PORT and nothing more.</source>
   <translation>eine mjpeg-Adresse ist mjpeg://HOST:PORT und nichts weiter.</translation>
  </message>
  <message>
   <source>an {protocol} address ends in the application and the stream key.</source>
   <translation>eine {protocol}-Adresse endet mit der Anwendung und dem Streamschlüssel.</translation>
  </message>
  <message>
   <source>any of its {count} frames</source>
   <translation>keinem seiner {count} Bilder</translation>
  </message>
  <message>
   <source>asked {asked}, reported {reported}, measured {measured}</source>
   <translation>verlangt {asked}, gemeldet {reported}, gemessen {measured}</translation>
  </message>
  <message>
   <source>automatic</source>
   <translation>automatisch</translation>
  </message>
  <message>
   <source>blurred</source>
   <translation>unscharf</translation>
  </message>
  <message>
   <source>calm</source>
   <translation>ruhig</translation>
  </message>
  <message>
   <source>can't be loaded: {names}</source>
   <translation>nicht ladbar: {names}</translation>
  </message>
  <message>
   <source>change an option</source>
   <translation>Einstellung ändern</translation>
  </message>
  <message>
   <source>change the crop</source>
   <translation>Ausschnitt ändern</translation>
  </message>
  <message>
   <source>change the length</source>
   <translation>Länge ändern</translation>
  </message>
  <message>
   <source>choose a driver</source>
   <translation>Antrieb wählen</translation>
  </message>
  <message>
   <source>choose a part of the clip</source>
   <translation>Ausschnitt wählen</translation>
  </message>
  <message>
   <source>choose a portrait</source>
   <translation>Porträt wählen</translation>
  </message>
  <message>
   <source>choose a transition</source>
   <translation>Übergang wählen</translation>
  </message>
  <message>
   <source>choose an engine</source>
   <translation>Engine wählen</translation>
  </message>
  <message>
   <source>choose an expression</source>
   <translation>Ausdruck wählen</translation>
  </message>
  <message>
   <source>commercial use allowed</source>
   <translation>kommerzielle Nutzung erlaubt</translation>
  </message>
  <message>
   <source>copy</source>
   <translation>Kopie</translation>
  </message>
  <message>
   <source>delete a keyframe</source>
   <translation>Schlüsselbild löschen</translation>
  </message>
  <message>
   <source>depth is {depth}; it must be at least 1</source>
   <translation>Die Tiefe ist {depth}; sie muss mindestens 1 sein</translation>
  </message>
  <message>
   <source>done</source>
   <translation>fertig</translation>
  </message>
  <message>
   <source>done in part</source>
   <translation>teilweise fertig</translation>
  </message>
  <message>
   <source>driver</source>
   <translation>Antrieb</translation>
  </message>
  <message>
   <source>each line must contain two numbers, x and y in pixels.</source>
   <translation>jede Zeile muss zwei Zahlen haben, x und y in Pixeln.</translation>
  </message>
  <message>
   <source>embedded engine of 478 face-mesh keypoints; needs no download and no GPU</source>
   <translation>eingebaute Engine aus 478 Punkten eines Gesichtsnetzes; braucht weder Laden noch Grafikkarte</translation>
  </message>
  <message>
   <source>expression</source>
   <translation>Ausdruck</translation>
  </message>
  <message>
   <source>eyes</source>
   <translation>Augen</translation>
  </message>
  <message>
   <source>face detection, close faces</source>
   <translation>Gesichter finden, nahe</translation>
  </message>
  <message>
   <source>face detection, faces at any angle from a fortieth of the image</source>
   <translation>Gesichtsfinder, gedrehte Gesichter ab einem Vierzigstel des Bildes</translation>
  </message>
  <message>
   <source>face detection, faces from a fifteenth of the image</source>
   <translation>Gesichter finden, ab einem Fünfzehntel des Bildes</translation>
  </message>
  <message>
   <source>face parsing: 14 classes, including things in front of the face</source>
   <translation>Gesichtszerleger: 14 Klassen, auch was vor dem Gesicht liegt</translation>
  </message>
  <message>
   <source>face {face} has two drivers, {path} and {name}.</source>
   <translation>das Gesicht {face} hat zwei Antriebe, {path} und {name}.</translation>
  </message>
  <message>
   <source>failed</source>
   <translation>fehlgeschlagen</translation>
  </message>
  <message>
   <source>filled, edges cropped</source>
   <translation>füllend, beschnitten</translation>
  </message>
  <message>
   <source>forward and backward</source>
   <translation>vorwärts und rückwärts</translation>
  </message>
  <message>
   <source>found contains numbers other than 0 and 1</source>
   <translation>found enthält andere Zahlen als 0 und 1</translation>
  </message>
  <message>
   <source>frame is {dtype} {shape}; uint8 ({height}, {width}, 3) was promised</source>
   <translation>Das Bild ist {dtype} {shape}; versprochen war uint8 ({height}, {width}, 3)</translation>
  </message>
  <message>
   <source>frame is {dtype} {shape}; uint8 {size} was promised</source>
   <translation>Bild ist {dtype} {shape}; uint8 {size} war zugesagt</translation>
  </message>
  <message>
   <source>frame time {time:g} s does not follow {last:g} s</source>
   <translation>Die Bildzeit {time:g} s folgt nicht auf {last:g} s</translation>
  </message>
  <message>
   <source>head turned by {pitch:.0f} degrees</source>
   <translation>Kopf um {pitch:.0f} Grad gedreht</translation>
  </message>
  <message>
   <source>here</source>
   <translation>vorhanden</translation>
  </message>
  <message>
   <source>iFacialMocap on an iPhone, and apps that send the same</source>
   <translation>iFacialMocap auf einem iPhone, und Apps, die dasselbe senden</translation>
  </message>
  <message>
   <source>idle</source>
   <translation>ruht</translation>
  </message>
  <message>
   <source>in a shell, animate starts another program: {other}</source>
   <translation>in einer Shell startet animate ein anderes Programm: {other}</translation>
  </message>
  <message>
   <source>in the corner</source>
   <translation>in der Ecke</translation>
  </message>
  <message>
   <source>in the crop given by {option:crop}</source>
   <translation>im Ausschnitt von {option:crop}</translation>
  </message>
  <message>
   <source>in the image</source>
   <translation>im Bild</translation>
  </message>
  <message>
   <source>interrupted after {have:,} of {promised:,} bytes</source>
   <translation>abgebrochen nach {have:,} von {promised:,} Bytes</translation>
  </message>
  <message>
   <source>it can't be opened ({error}).</source>
   <translation>sie lässt sich nicht öffnen ({error}).</translation>
  </message>
  <message>
   <source>it can't be opened.</source>
   <translation>sie lässt sich nicht öffnen.</translation>
  </message>
  <message>
   <source>it contains a name twice</source>
   <translation>ein Name steht zweimal darin</translation>
  </message>
  <message>
   <source>it contains a whole number with too many digits</source>
   <translation>sie enthält eine ganze Zahl mit zu vielen Stellen</translation>
  </message>
  <message>
   <source>it contains no placed face</source>
   <translation>sie enthält kein platziertes Gesicht</translation>
  </message>
  <message>
   <source>it has more than {max_frames:,} frames</source>
   <translation>sie hat mehr als {max_frames:,} Bilder</translation>
  </message>
  <message>
   <source>it has no frame with a face</source>
   <translation>sie hat kein Bild mit einem Gesicht</translation>
  </message>
  <message>
   <source>it has no frames</source>
   <translation>sie hat keine Bilder</translation>
  </message>
  <message>
   <source>it has the newer format version {version}; update the program</source>
   <translation>sie hat die neuere Formatversion {version}; das Programm erneuern</translation>
  </message>
  <message>
   <source>it has two members named {name}</source>
   <translation>sie hat zwei Teile namens {name}</translation>
  </message>
  <message>
   <source>it holds more than {most_values:,} values</source>
   <translation>sie enthält mehr als {most_values:,} Werte</translation>
  </message>
  <message>
   <source>it is a damaged zip file ({error})</source>
   <translation>sie ist eine beschädigte Zip-Datei ({error})</translation>
  </message>
  <message>
   <source>it is a truncated zip file</source>
   <translation>sie ist eine Zip-Datei, die abbricht</translation>
  </message>
  <message>
   <source>it is a zip file of {count:,} members</source>
   <translation>sie ist eine Zip-Datei aus {count:,} Teilen</translation>
  </message>
  <message>
   <source>it is a zip file with a directory of {directory:,} bytes</source>
   <translation>sie ist eine Zip-Datei mit einem Verzeichnis von {directory:,} Bytes</translation>
  </message>
  <message>
   <source>it is nested more than {depth} levels deep</source>
   <translation>sie ist mehr als {depth} Ebenen tief verschachtelt</translation>
  </message>
  <message>
   <source>it is nested more than {max_depth} levels deep</source>
   <translation>sie ist mehr als {max_depth} Ebenen tief verschachtelt</translation>
  </message>
  <message>
   <source>it is of version {values!r:.20}, and this program reads version {version}</source>
   <translation>sie hat Version {values!r:.20}, und dieses Programm liest Version {version}</translation>
  </message>
  <message>
   <source>it is slow without a graphics card, so it is used only on request.</source>
   <translation>sie ist ohne Grafikkarte langsam und muss eigens gewählt werden.</translation>
  </message>
  <message>
   <source>it names a result file that can't be one</source>
   <translation>er nennt eine Datei seines Ergebnisses, die keine sein kann</translation>
  </message>
  <message>
   <source>it needs "keys", a list of tables with a time and sliders.</source>
   <translation>nötig ist „keys“, eine Liste von Tabellen mit Zeit (time) und Reglern (sliders).</translation>
  </message>
  <message>
   <source>it supports human faces only.</source>
   <translation>sie kennt nur menschliche Gesichter.</translation>
  </message>
  <message>
   <source>it was made for an image of {width}x{height} pixels, and this one has {width2}x{height2}</source>
   <translation>sie wurde für ein Bild von {width}x{height} Pixeln gemacht, und dieses hat {width2}x{height2}</translation>
  </message>
  <message>
   <source>it was saved by a newer version (schema {version}); update the program.</source>
   <translation>er wurde von einer neueren Version gesichert (Schema {version}); das Programm erneuern.</translation>
  </message>
  <message>
   <source>its duration ends before its last frame</source>
   <translation>seine Dauer endet vor seinem letzten Bild</translation>
  </message>
  <message>
   <source>its eye_ratio must be two numbers, left and right, not {pair}.</source>
   <translation>sein eye_ratio ist von falscher Art: zwei Zahlen, links und rechts, nicht {pair}.</translation>
  </message>
  <message>
   <source>its field 'progress' is not valid</source>
   <translation>sein Feld 'progress' ist keines</translation>
  </message>
  <message>
   <source>its field {column!r} is not a {what}</source>
   <translation>sein Feld {column!r} ist nicht von der Art {what}</translation>
  </message>
  <message>
   <source>its field {column!r}: {error}</source>
   <translation>sein Feld {column!r}: {error}</translation>
  </message>
  <message>
   <source>its frame rate {value} is not positive, or not a frame rate</source>
   <translation>ihre Bildrate {value} ist nicht positiv oder keine Bildrate</translation>
  </message>
  <message>
   <source>its frames have no {keys}</source>
   <translation>ihre Bilder haben kein {keys}</translation>
  </message>
  <message>
   <source>its header is not a table</source>
   <translation>ihr Kopf ist keine Tabelle</translation>
  </message>
  <message>
   <source>its header is not that of a motion template</source>
   <translation>ihr Kopf ist nicht der einer Bewegungsvorlage</translation>
  </message>
  <message>
   <source>its list of files is not valid</source>
   <translation>seine Liste von Dateien ist keine</translation>
  </message>
  <message>
   <source>its member {filename!a} overlaps another one</source>
   <translation>ihr Teil {filename!a} liegt in einem anderen</translation>
  </message>
  <message>
   <source>its member {name!a} is damaged ({error})</source>
   <translation>ihr Teil {name!a} ist beschädigt ({error})</translation>
  </message>
  <message>
   <source>its member {name!a} is larger than {limit:,} bytes</source>
   <translation>ihr Teil {name!a} ist größer als {limit:,} Bytes</translation>
  </message>
  <message>
   <source>its member {name!a} is truncated</source>
   <translation>ihr Teil {name!a} bricht ab</translation>
  </message>
  <message>
   <source>its member {name} is compressed</source>
   <translation>ihr Teil {name} ist komprimiert</translation>
  </message>
  <message>
   <source>its member {name} is damaged</source>
   <translation>ihr Teil {name} ist beschädigt</translation>
  </message>
  <message>
   <source>its member {name} is encrypted</source>
   <translation>ihr Teil {name} ist verschlüsselt</translation>
  </message>
  <message>
   <source>its name is {name}, not a text of at most {max_name} characters</source>
   <translation>ihr Name ist {name}, kein Text von höchstens {max_name} Zeichen</translation>
  </message>
  <message>
   <source>its reference frame {reference} doesn't exist; it has {frames} frames</source>
   <translation>ihr Ruhebild {reference} gibt es nicht; sie hat {frames} Bilder</translation>
  </message>
  <message>
   <source>its schema_version is {version}, not a whole number from 1.</source>
   <translation>seine schema_version ist {version}, keine ganze Zahl ab 1.</translation>
  </message>
  <message>
   <source>its sliders must be a table of names and numbers, not {sliders}.</source>
   <translation>seine Regler sind von falscher Art: eine Tabelle von Namen und Zahlen, nicht {sliders}.</translation>
  </message>
  <message>
   <source>its weights (model {name}) are not installed.</source>
   <translation>ihre Gewichte (Modell {name}) sind nicht da.</translation>
  </message>
  <message>
   <source>its {name} must be a number, not {value}.</source>
   <translation>sein {name} ist von falscher Art: eine Zahl, nicht {value}.</translation>
  </message>
  <message>
   <source>keyframes</source>
   <translation>Schlüsselbilder</translation>
  </message>
  <message>
   <source>left out</source>
   <translation>ausgelassen</translation>
  </message>
  <message>
   <source>length rule {rule!r} is not one of {names}</source>
   <translation>Die Längenregel {rule!r} ist keine von {names}</translation>
  </message>
  <message>
   <source>lip shapes from sound</source>
   <translation>Ton zu Lippenformen</translation>
  </message>
  <message>
   <source>lip shapes from the timbre of sound</source>
   <translation>Lippenformen aus der Klangfarbe</translation>
  </message>
  <message>
   <source>lip-sync</source>
   <translation>Lippensynchron</translation>
  </message>
  <message>
   <source>lips</source>
   <translation>Lippen</translation>
  </message>
  <message>
   <source>live</source>
   <translation>live</translation>
  </message>
  <message>
   <source>lively</source>
   <translation>lebhaft</translation>
  </message>
  <message>
   <source>memory ran out</source>
   <translation>der Speicher ausgegangen ist</translation>
  </message>
  <message>
   <source>metadata only</source>
   <translation>nur Metadaten</translation>
  </message>
  <message>
   <source>mjpeg://127.0.0.1:8090 shows the result to browsers and OBS on this computer; srt, rtmp, udp and rtp addresses send it to a receiver; ndi, spout and syphon names show it to programs that support them.</source>
   <translation>mjpeg://127.0.0.1:8090 zeigt das Ergebnis Browsern und OBS auf diesem Computer; Adressen mit srt, rtmp, udp und rtp senden es an einen Empfänger; Namen mit ndi, spout und syphon zeigen es Programmen, die diese kennen.</translation>
  </message>
  <message>
   <source>motion of driving clips, cached by animate batch</source>
   <translation>von Antriebsclips, behalten von animate batch</translation>
  </message>
  <message>
   <source>motion template</source>
   <translation>Bewegungsvorlage</translation>
  </message>
  <message>
   <source>move a keyframe</source>
   <translation>Schlüsselbild verschieben</translation>
  </message>
  <message>
   <source>move a slider</source>
   <translation>Regler bewegen</translation>
  </message>
  <message>
   <source>new project</source>
   <translation>neues Projekt</translation>
  </message>
  <message>
   <source>nine points are needed, one on each line; there are {count}.</source>
   <translation>neun Punkte werden gebraucht, einer je Zeile; es sind {count}.</translation>
  </message>
  <message>
   <source>no camera</source>
   <translation>keine Kamera</translation>
  </message>
  <message>
   <source>no commercial use</source>
   <translation>keine kommerzielle Nutzung</translation>
  </message>
  <message>
   <source>no frame arrived within {warm_up:g} s.</source>
   <translation>innerhalb von {warm_up:g} s kam kein Bild.</translation>
  </message>
  <message>
   <source>no mapping from primaries {color_primaries}, curve {color_trc}</source>
   <translation>keine Umrechnung von Grundfarben {color_primaries}, Kurve {color_trc}</translation>
  </message>
  <message>
   <source>none</source>
   <translation>keine</translation>
  </message>
  <message>
   <source>none needed: QT_QPA_PLATFORM={environ}</source>
   <translation>keine nötig: QT_QPA_PLATFORM={environ}</translation>
  </message>
  <message>
   <source>not here</source>
   <translation>nicht vorhanden</translation>
  </message>
  <message>
   <source>not installed</source>
   <translation>nicht installiert</translation>
  </message>
  <message>
   <source>not needed</source>
   <translation>nicht nötig</translation>
  </message>
  <message>
   <source>off</source>
   <translation>aus</translation>
  </message>
  <message>
   <source>on graphics cards</source>
   <translation>auf Grafikkarten</translation>
  </message>
  <message>
   <source>open a project</source>
   <translation>Projekt öffnen</translation>
  </message>
  <message>
   <source>open an expression track</source>
   <translation>Ausdrucksspur öffnen</translation>
  </message>
  <message>
   <source>optional face detector and 106 landmarks</source>
   <translation>zusätzlicher Gesichtsfinder und 106 Punkte</translation>
  </message>
  <message>
   <source>or paste one, or choose a file ({keys})</source>
   <translation>oder einfügen, oder eine Datei wählen ({keys})</translation>
  </message>
  <message>
   <source>paused</source>
   <translation>angehalten</translation>
  </message>
  <message>
   <source>person matte</source>
   <translation>Freisteller für Personen</translation>
  </message>
  <message>
   <source>pip install fsspec</source>
   <translation>Installieren: pip install fsspec</translation>
  </message>
  <message>
   <source>playing</source>
   <translation>spielt</translation>
  </message>
  <message>
   <source>pose</source>
   <translation>Haltung</translation>
  </message>
  <message>
   <source>reading motion</source>
   <translation>Bewegung wird gelesen</translation>
  </message>
  <message>
   <source>reference frame {index} doesn't exist: the driving clip has frames 0 to {count}.</source>
   <translation>das Ruhebild {index} gibt es nicht: der Antriebsclip hat die Bilder 0 bis {count}.</translation>
  </message>
  <message>
   <source>reference frame {index} has no face; choose another one or auto.</source>
   <translation>das Ruhebild {index} hat kein Gesicht; ein anderes wählen oder auto.</translation>
  </message>
  <message>
   <source>reference must be auto, first or a frame number, not {choice!r}.</source>
   <translation>das Ruhebild muss auto, first oder eine Bildnummer sein, nicht {choice!r}.</translation>
  </message>
  <message>
   <source>relative</source>
   <translation>relativ</translation>
  </message>
  <message>
   <source>remove a portrait</source>
   <translation>Porträt entfernen</translation>
  </message>
  <message>
   <source>rendering</source>
   <translation>wird gerendert</translation>
  </message>
  <message>
   <source>reset all controls</source>
   <translation>alle Regler zurücksetzen</translation>
  </message>
  <message>
   <source>reset pose and expression</source>
   <translation>Haltung und Ausdruck zurücksetzen</translation>
  </message>
  <message>
   <source>reset the options</source>
   <translation>Einstellungen zurücksetzen</translation>
  </message>
  <message>
   <source>reset {section}</source>
   <translation>{section} zurücksetzen</translation>
  </message>
  <message>
   <source>row of {size} numbers in a file of rows of {width}</source>
   <translation>Zeile aus {size} Zahlen in einer Datei mit Zeilen aus {width}</translation>
  </message>
  <message>
   <source>running</source>
   <translation>läuft</translation>
  </message>
  <message>
   <source>self-test passed; {facts}</source>
   <translation>Selbsttest bestanden; {facts}</translation>
  </message>
  <message>
   <source>set a keyframe</source>
   <translation>Schlüsselbild setzen</translation>
  </message>
  <message>
   <source>size not known</source>
   <translation>Größe unbekannt</translation>
  </message>
  <message>
   <source>slider {name} must be within {minimum} to {maximum}, not {value}.</source>
   <translation>der Regler {name} muss zwischen {minimum} und {maximum} liegen, nicht {value}.</translation>
  </message>
  <message>
   <source>sliders</source>
   <translation>Regler</translation>
  </message>
  <message>
   <source>sounddevice finds no sound library ({error}).</source>
   <translation>sounddevice findet keine Tonbibliothek ({error}).</translation>
  </message>
  <message>
   <source>source</source>
   <translation>Quelle</translation>
  </message>
  <message>
   <source>speech template</source>
   <translation>Sprechvorlage</translation>
  </message>
  <message>
   <source>standard input is not read here.</source>
   <translation>die Standardeingabe wird hier nicht gelesen.</translation>
  </message>
  <message>
   <source>standard output</source>
   <translation>die Standardausgabe</translation>
  </message>
  <message>
   <source>standard output can't be used here.</source>
   <translation>die Standardausgabe kann hier nicht benutzt werden.</translation>
  </message>
  <message>
   <source>starting</source>
   <translation>startet</translation>
  </message>
  <message>
   <source>stopped</source>
   <translation>angehalten</translation>
  </message>
  <message>
   <source>stopping</source>
   <translation>hält an</translation>
  </message>
  <message>
   <source>stretched</source>
   <translation>verzerrt</translation>
  </message>
  <message>
   <source>the database is damaged</source>
   <translation>die Datenbank ist beschädigt</translation>
  </message>
  <message>
   <source>the driving clip has no frame with a face to measure motion from.</source>
   <translation>der Antriebsclip hat kein Bild mit einem Gesicht, von dem aus Bewegung gemessen werden kann.</translation>
  </message>
  <message>
   <source>the face is only {width:.0f}x{height:.0f} pixels large; {narrowest:.0f} are needed</source>
   <translation>das Gesicht ist nur {width:.0f}x{height:.0f} Pixel groß; {narrowest:.0f} sind nötig</translation>
  </message>
  <message>
   <source>the handle {handle} must lie above the handle {other}</source>
   <translation>der Griff {handle} muss über dem Griff {other} liegen</translation>
  </message>
  <message>
   <source>the handle {handle} must lie to the left of the handle {other}</source>
   <translation>der Griff {handle} muss links vom Griff {other} liegen</translation>
  </message>
  <message>
   <source>the handle {handle} must not lie below the handle {other}</source>
   <translation>der Griff {handle} darf nicht unter dem Griff {other} liegen</translation>
  </message>
  <message>
   <source>the handle {missing} is missing</source>
   <translation>der Griff {missing} fehlt</translation>
  </message>
  <message>
   <source>the handle {name} lies far outside the image of {width}x{height} pixels</source>
   <translation>der Griff {name} liegt weit außerhalb des Bildes von {width}x{height} Pixeln</translation>
  </message>
  <message>
   <source>the handles do not form a face</source>
   <translation>die Griffe ergeben kein Gesicht</translation>
  </message>
  <message>
   <source>the handles fold the face onto itself; arrange them more like a face</source>
   <translation>die Griffe falten das Gesicht auf sich selbst; ordnen Sie sie mehr wie in einem Gesicht an</translation>
  </message>
  <message>
   <source>the longer one, looped</source>
   <translation>das längere, in Schleife</translation>
  </message>
  <message>
   <source>the module {module} is not part of this installation.</source>
   <translation>das Modul {module} gehört nicht zu dieser Installation.</translation>
  </message>
  <message>
   <source>the motion of this frame is not a number; the last frame is kept</source>
   <translation>die Bewegung dieses Bildes ist keine Zahl; das letzte bleibt stehen</translation>
  </message>
  <message>
   <source>the official editor has no slider {name!r}.</source>
   <translation>das offizielle Werkzeug hat keinen Regler {name!r}.</translation>
  </message>
  <message>
   <source>the package {absent} is not installed.</source>
   <translation>das Paket {absent} ist nicht installiert.</translation>
  </message>
  <message>
   <source>the package {package} is not installed</source>
   <translation>das Paket {package} ist nicht installiert</translation>
  </message>
  <message>
   <source>the ratio {name} must be within 0 to 1, not {value:g}.</source>
   <translation>die Öffnung {name} muss zwischen 0 und 1 liegen, nicht {value:g}.</translation>
  </message>
  <message>
   <source>the same networks compiled for an NVIDIA card by TensorRT-RTX or TensorRT; only on request</source>
   <translation>dieselben Netze, von TensorRT-RTX oder TensorRT für eine NVIDIA-Karte übersetzt; muss eigens gewählt werden</translation>
  </message>
  <message>
   <source>the same networks rewritten for speed, in the fastest number format that passes a self-test</source>
   <translation>dieselben Netze, auf Tempo umgeschrieben, im schnellsten Zahlenformat, das einen Selbsttest besteht</translation>
  </message>
  <message>
   <source>the same networks with the two big ones on ONNX Runtime; only on request</source>
   <translation>dieselben Netze, die zwei großen auf ONNX Runtime; muss verlangt werden</translation>
  </message>
  <message>
   <source>the same networks with the two big ones on OpenVINO; only on request</source>
   <translation>dieselben Netze, die zwei großen auf OpenVINO; muss verlangt werden</translation>
  </message>
  <message>
   <source>the shorter one</source>
   <translation>das kürzere</translation>
  </message>
  <message>
   <source>the side of the crop is {side:g} px, it must be at least {smallest_square} px.</source>
   <translation>die Seite des Ausschnitts ist {side:g} px, es müssen mindestens {smallest_square} px sein.</translation>
  </message>
  <message>
   <source>the signing key can't be kept in {folder}: {why}</source>
   <translation>der Schlüssel zum Signieren kann nicht in {folder} aufbewahrt werden: {why}</translation>
  </message>
  <message>
   <source>the source is an animal</source>
   <translation>die Quelle ist ein Tier</translation>
  </message>
  <message>
   <source>the system ended a worker</source>
   <translation>das System einen Arbeiter beendet hat</translation>
  </message>
  <message>
   <source>the {protocol} address has no valid host and port.</source>
   <translation>die {protocol}-Adresse hat keinen gültigen Rechner und Port.</translation>
  </message>
  <message>
   <source>the {protocol} address lacks the port, such as :9000 after the host.</source>
   <translation>der {protocol}-Adresse fehlt der Port, etwa :9000 hinter dem Rechner.</translation>
  </message>
  <message>
   <source>the {protocol} address needs the name that other programs see.</source>
   <translation>die {protocol}-Adresse braucht den Namen, den andere Programme sehen.</translation>
  </message>
  <message>
   <source>there is no slider named {name!r}; known are {names}.</source>
   <translation>einen Regler namens {name!r} gibt es nicht; bekannt sind {names}.</translation>
  </message>
  <message>
   <source>this computer's address</source>
   <translation>die Adresse dieses Rechners</translation>
  </message>
  <message>
   <source>this wheel brings its own copy of Qt</source>
   <translation>dieses Paket bringt sein eigenes Qt mit</translation>
  </message>
  <message>
   <source>times contains denominators outside 1 to {finest:,}</source>
   <translation>times enthält Nenner, die nicht zwischen 1 und {finest:,} liegen</translation>
  </message>
  <message>
   <source>transparent</source>
   <translation>durchsichtig</translation>
  </message>
  <message>
   <source>unchanged</source>
   <translation>unverändert</translation>
  </message>
  <message>
   <source>unknown entries in the expression: {names}.</source>
   <translation>unbekannte Einträge im Ausdruck: {names}.</translation>
  </message>
  <message>
   <source>use preset {name}</source>
   <translation>Voreinstellung {name} verwenden</translation>
  </message>
  <message>
   <source>use the whole clip</source>
   <translation>ganzen Clip verwenden</translation>
  </message>
  <message>
   <source>waiting</source>
   <translation>wartet</translation>
  </message>
  <message>
   <source>whole, with borders</source>
   <translation>ganz, mit Rand</translation>
  </message>
  <message>
   <source>yes or no</source>
   <translation>ja oder nein</translation>
  </message>
  <message>
   <source>{beside} can't be written: {what}; the tags say that AI made the result.</source>
   <translation>{beside} kann nicht geschrieben werden: {what}; die Tags sagen, dass KI das Ergebnis gemacht hat.</translation>
  </message>
  <message>
   <source>{codec} does not support transparency; transparent parts were filled with a plain colour.</source>
   <translation>{codec} kennt keine Durchsichtigkeit; klare Teile wurden auf eine Farbe gelegt.</translation>
  </message>
  <message>
   <source>{codec} needs even sides: the image of {size}x{size2} was padded to {width}x{height} by repeating its edge.</source>
   <translation>{codec} braucht gerade Seiten: das Bild von {size}x{size2} wurde durch Wiederholen seines Randes auf {width}x{height} ergänzt.</translation>
  </message>
  <message>
   <source>{count} files</source>
   <translation>{count} Dateien</translation>
  </message>
  <message>
   <source>{count} more: animate jobs list</source>
   <translation>{count} weitere: animate jobs list</translation>
  </message>
  <message>
   <source>{done} of {total}</source>
   <translation>{done} von {total}</translation>
  </message>
  <message>
   <source>{driving} already moves the face; {option:idle} has no effect.</source>
   <translation>{driving} bewegt das Gesicht schon; {option:idle} hat keine Wirkung.</translation>
  </message>
  <message>
   <source>{driving} is a {what}, which has no sound; that of the source is used.</source>
   <translation>{driving} ist eine {what} und enthält keinen Ton; der Ton der Quelle wird verwendet.</translation>
  </message>
  <message>
   <source>{driving} is a {what}, which has no sound; the result is silent.</source>
   <translation>{driving} ist eine {what} und enthält keinen Ton; das Ergebnis ist stumm.</translation>
  </message>
  <message>
   <source>{driving}: no face was found in {lost} of {frames} frames; the motion was held and eased to neutral there.</source>
   <translation>{driving}: in {lost} von {frames} Bildern wurde kein Gesicht gefunden; die Bewegung wurde dort gehalten und zur Ruhe geführt.</translation>
  </message>
  <message>
   <source>{end} and {duration} both set the end of the clip.</source>
   <translation>{end} und {duration} sagen beide, wo der Clip endet.</translation>
  </message>
  <message>
   <source>{end} is not after the start, {start}.</source>
   <translation>{end} liegt nicht nach dem Anfang, {start}.</translation>
  </message>
  <message>
   <source>{error} Trying again.</source>
   <translation>{error} Es wird wieder versucht.</translation>
  </message>
  <message>
   <source>{error}. Trying the next best engine.</source>
   <translation>{error}. Die nächstbeste Engine wird versucht.</translation>
  </message>
  <message>
   <source>{filename} can't be removed: {what}.</source>
   <translation>{filename} kann nicht gelöscht werden: {what}.</translation>
  </message>
  <message>
   <source>{file} is {width}x{height}, the sequence began with {size}x{size2}.</source>
   <translation>{file} ist {width}x{height} groß, die Folge begann mit {size}x{size2}.</translation>
  </message>
  <message>
   <source>{file} of {repo} can't be fetched ({names}).</source>
   <translation>{file} von {repo} kann nicht geladen werden ({names}).</translation>
  </message>
  <message>
   <source>{file}: job files of version {schema_version} can be read, not {version!r}.</source>
   <translation>{file}: Auftragsdateien der Version {schema_version} können gelesen werden, nicht {version!r}.</translation>
  </message>
  <message>
   <source>{file}: jobs must be tables, each headed by [[jobs]].</source>
   <translation>{file}: Aufträge müssen Tabellen sein, jede mit der Überschrift [[jobs]].</translation>
  </message>
  <message>
   <source>{file}: options must be a table of names and values.</source>
   <translation>{file}: options muss eine Tabelle von Namen und Werten sein.</translation>
  </message>
  <message>
   <source>{file}: pairs must be a list of [source, driving].</source>
   <translation>{file}: pairs muss eine Liste von [source, driving] sein.</translation>
  </message>
  <message>
   <source>{file}: there is no entry named {word!r}.</source>
   <translation>{file}: es gibt keinen Eintrag namens {word!r}.</translation>
  </message>
  <message>
   <source>{file}: {key} must be a file name, or a list of them.</source>
   <translation>{file}: {key} muss ein Dateiname oder eine Liste davon sein.</translation>
  </message>
  <message>
   <source>{file}: {name} is not a CSV file.</source>
   <translation>{file}: {name} ist keine CSV-Datei.</translation>
  </message>
  <message>
   <source>{file}: {name} must be text, not {value!r}.</source>
   <translation>{file}: {name} muss Text sein, nicht {value!r}.</translation>
  </message>
  <message>
   <source>{first} redirects to a URL that is not https ({target}); nothing was downloaded.</source>
   <translation>{first} leitet zu einer Adresse ohne https um ({target}); nichts wurde geholt.</translation>
  </message>
  <message>
   <source>{first} redirects to another host ({host}); nothing was downloaded.</source>
   <translation>{first} leitet zu einem anderen Rechner um ({host}); nichts wurde geholt.</translation>
  </message>
  <message>
   <source>{flag} is missing: certificate and key belong together.</source>
   <translation>{flag} fehlt: Zertifikat und Schlüssel gehören zusammen.</translation>
  </message>
  <message>
   <source>{flag}: {name} can't be read: {what}.</source>
   <translation>{flag}: {name} kann nicht gelesen werden: {what}.</translation>
  </message>
  <message>
   <source>{flag}: {name} is not a PEM file with a {word}.</source>
   <translation>{flag}: {name} ist keine PEM-Datei mit {word}.</translation>
  </message>
  <message>
   <source>{folder} can't be written: {reason}.</source>
   <translation>{folder} kann nicht geschrieben werden: {reason}.</translation>
  </message>
  <message>
   <source>{folder} contains none of the models {names}.</source>
   <translation>{folder} enthält keines der Modelle {names}.</translation>
  </message>
  <message>
   <source>{folder} has no file {file}.</source>
   <translation>{folder} hat keine Datei {file}.</translation>
  </message>
  <message>
   <source>{folder} has no file {name}.</source>
   <translation>{folder} hat keine Datei {name}.</translation>
  </message>
  <message>
   <source>{folder} has {count} files {name}; name the folder of the right one.</source>
   <translation>{folder} hat {count} Dateien {name}; den Ordner der richtigen nennen.</translation>
  </message>
  <message>
   <source>{folder} is not a folder.</source>
   <translation>{folder} ist kein Ordner.</translation>
  </message>
  <message>
   <source>{folder}, {free:.1f} GB free</source>
   <translation>{folder}, {free:.1f} GB frei</translation>
  </message>
  <message>
   <source>{format} does not support transparency; transparent parts were filled with a plain colour.</source>
   <translation>{format} kennt keine Durchsichtigkeit; klare Teile wurden auf eine Farbe gelegt.</translation>
  </message>
  <message>
   <source>{given!r} is not {wanted}.</source>
   <translation>{given!r} ist nicht {wanted}.</translation>
  </message>
  <message>
   <source>{given} is out of bounds, it must be {bounds}.</source>
   <translation>{given} liegt außerhalb der Grenzen, erlaubt ist {bounds}.</translation>
  </message>
  <message>
   <source>{hardware!r} is not a setting for hardware encoding.</source>
   <translation>Kodieren auf der Grafikkarte ist {hardware!r}.</translation>
  </message>
  <message>
   <source>{host} is not an address of this computer.</source>
   <translation>{host} ist keine Adresse dieses Rechners.</translation>
  </message>
  <message>
   <source>{install_hint}. Or export the photo as JPEG.</source>
   <translation>{install_hint}. Oder das Foto als JPEG exportieren.</translation>
  </message>
  <message>
   <source>{keys} has {count} entries for {n} frames</source>
   <translation>{keys} hat {count} Einträge für {n} Bilder</translation>
  </message>
  <message>
   <source>{keys} is used by: {commands}</source>
   <translation>{keys} ist mehrfach vergeben: {commands}</translation>
  </message>
  <message>
   <source>{left_out} frames were left out: a GIF shows at most 50 per second.</source>
   <translation>{left_out} Bilder wurden weggelassen: ein GIF zeigt höchstens 50 in der Sekunde.</translation>
  </message>
  <message>
   <source>{line!r} is not a face and its driving file, such as left=mum.mp4.</source>
   <translation>{line!r} ist kein Gesicht mit seinem Antrieb, etwa left=mama.mp4.</translation>
  </message>
  <message>
   <source>{member} is damaged: it has {member2:,} bytes instead of {begin:,}</source>
   <translation>{member} ist beschädigt: es hat {member2:,} Bytes statt {begin:,}</translation>
  </message>
  <message>
   <source>{missing} is missing</source>
   <translation>{missing} fehlt darin</translation>
  </message>
  <message>
   <source>{missing}. Only the window needs them.</source>
   <translation>{missing}. Nur das Fenster braucht sie.</translation>
  </message>
  <message>
   <source>{name!r} can't be used as a name.</source>
   <translation>{name!r} kann kein Name sein.</translation>
  </message>
  <message>
   <source>{names} can't be used: it is no image, clip, sound or template.</source>
   <translation>{names} kann nicht verwendet werden: weder Bild noch Clip, Ton oder Vorlage.</translation>
  </message>
  <message>
   <source>{name} can't be read: {reason}.</source>
   <translation>{name} lässt sich nicht lesen: {reason}.</translation>
  </message>
  <message>
   <source>{name} can't be written: your settings will be lost when the program ends.</source>
   <translation>{name} kann nicht geschrieben werden: was eingestellt ist, geht am Ende verloren.</translation>
  </message>
  <message>
   <source>{name} can't contain sound.</source>
   <translation>{name} enthält keinen Ton.</translation>
  </message>
  <message>
   <source>{name} contains numbers of the type {shown} instead of {dtype!r}</source>
   <translation>{name} enthält Zahlen vom Typ {shown} statt {dtype!r}</translation>
  </message>
  <message>
   <source>{name} does not contain {shape} numbers</source>
   <translation>{name} enthält nicht {shape} Zahlen</translation>
  </message>
  <message>
   <source>{name} does not work here</source>
   <translation>{name} läuft hier nicht</translation>
  </message>
  <message>
   <source>{name} has the shape {got} instead of {shape}</source>
   <translation>{name} hat die Form {got} statt {shape}</translation>
  </message>
  <message>
   <source>{name} holds {count} images and clips. How are they used?</source>
   <translation>{name} enthält {count} Bilder und Clips. Wie werden sie verwendet?</translation>
  </message>
  <message>
   <source>{name} is an array with a damaged header</source>
   <translation>{name} ist ein Feld mit beschädigtem Kopf</translation>
  </message>
  <message>
   <source>{name} is not a motion template; expected a {suffix} file or an official .pkl.</source>
   <translation>{name} ist keine Bewegungsvorlage; erwartet wird eine {suffix}-Datei oder eine offizielle .pkl.</translation>
  </message>
  <message>
   <source>{name} is not a motion template; it is not a regular file.</source>
   <translation>{name} ist keine Bewegungsvorlage; es ist keine gewöhnliche Datei.</translation>
  </message>
  <message>
   <source>{name} is not a plain array</source>
   <translation>{name} ist kein einfaches Feld</translation>
  </message>
  <message>
   <source>{name} is not a usable motion template: in its header, {error}.</source>
   <translation>{name} ist keine brauchbare Bewegungsvorlage: im Kopf: {error}.</translation>
  </message>
  <message>
   <source>{name} is not a usable motion template: its part {error} is missing.</source>
   <translation>{name} ist keine brauchbare Bewegungsvorlage: ihr Teil {error} fehlt.</translation>
  </message>
  <message>
   <source>{name} is not a usable motion template: {error}.</source>
   <translation>{name} ist keine brauchbare Bewegungsvorlage: {error}.</translation>
  </message>
  <message>
   <source>{name} is not a usable motion template: {text}.</source>
   <translation>{name} ist keine brauchbare Bewegungsvorlage: {text}.</translation>
  </message>
  <message>
   <source>{name} is not installed.</source>
   <translation>{name} ist nicht installiert.</translation>
  </message>
  <message>
   <source>{name} is ready.</source>
   <translation>{name} ist fertig.</translation>
  </message>
  <message>
   <source>{name} is set, so nothing is downloaded; unset it, or import {spec} from a folder.</source>
   <translation>{name} ist gesetzt, daher wird nichts heruntergeladen; löschen Sie die Variable, oder importieren Sie {spec} aus einem Ordner.</translation>
  </message>
  <message>
   <source>{name} is stored by columns</source>
   <translation>{name} ist spaltenweise gespeichert</translation>
  </message>
  <message>
   <source>{name} is the driver; the others were added to the recent drivers.</source>
   <translation>{name} treibt an; die anderen stehen bei den zuletzt verwendeten Antrieben.</translation>
  </message>
  <message>
   <source>{name} is this program's own virtual camera.</source>
   <translation>{name} ist die virtuelle Kamera, die dieses Programm selbst speist.</translation>
  </message>
  <message>
   <source>{name} must be within 0 to {max_opening:g}, not {opening}.</source>
   <translation>{name} muss zwischen 0 und {max_opening:g} liegen, nicht {opening}.</translation>
  </message>
  <message>
   <source>{name} refers to missing files: {files}.</source>
   <translation>{name} nennt Dateien, die es hier nicht gibt: {files}.</translation>
  </message>
  <message>
   <source>{name} requires a user name and password, or other ones.</source>
   <translation>{name} verlangt Namen und Passwort, oder andere.</translation>
  </message>
  <message>
   <source>{name} sends frames of {width}x{height} pixels.</source>
   <translation>{name} sendet Bilder mit {width}x{height} Pixeln.</translation>
  </message>
  <message>
   <source>{name} sends no video.</source>
   <translation>{name} zeigt kein Bild.</translation>
  </message>
  <message>
   <source>{name} shows the face from the side; turns to the front are limited ({option:turn_limit=off} changes this).</source>
   <translation>{name} zeigt das Gesicht von der Seite; Drehungen nach vorn bleiben klein ({option:turn_limit=off}).</translation>
  </message>
  <message>
   <source>{name} shows {count} faces; the largest is animated ({option:face} chooses).</source>
   <translation>{name} zeigt {count} Gesichter; das größte wird bewegt ({option:face} wählt).</translation>
  </message>
  <message>
   <source>{name} stopped sending frames.</source>
   <translation>{name} sendet keine Bilder mehr.</translation>
  </message>
  <message>
   <source>{name} stopped sending frames: {reason}.</source>
   <translation>{name} sendet keine Bilder mehr: {reason}.</translation>
  </message>
  <message>
   <source>{name} will be deleted permanently.</source>
   <translation>{name} wird endgültig gelöscht.</translation>
  </message>
  <message>
   <source>{name} {version} does not fit or is damaged ({error}).</source>
   <translation>{name} {version} passt nicht oder ist beschädigt ({error}).</translation>
  </message>
  <message>
   <source>{name}: an animal needs a crop set by hand.</source>
   <translation>{name}: der Ausschnitt eines Tiers muss angegeben werden.</translation>
  </message>
  <message>
   <source>{name}: no face was found in any of its {count} frames.</source>
   <translation>{name}: in keinem seiner {count} Bilder wurde ein Gesicht gefunden.</translation>
  </message>
  <message>
   <source>{name}: no face was found in the crop given by {option:crop}, in any of its {count} frames.</source>
   <translation>{name}: Im Ausschnitt von {option:crop} wurde kein Gesicht gefunden, in keinem der {count} Bilder.</translation>
  </message>
  <message>
   <source>{name}: no face was found {where}.</source>
   <translation>{name}: {where} wurde kein Gesicht gefunden.</translation>
  </message>
  <message>
   <source>{name}: no person was found to cut out; the background stays as it is.</source>
   <translation>{name}: niemand zum Freistellen gefunden; der Hintergrund bleibt, wie er ist.</translation>
  </message>
  <message>
   <source>{option:background}: {path} is not an image.</source>
   <translation>{option:background}: {path} ist kein Bild.</translation>
  </message>
  <message>
   <source>{option:codec}: numbered images can't go to standard output.</source>
   <translation>{option:codec}: Nummerierte Bilder können nicht auf die Standardausgabe.</translation>
  </message>
  <message>
   <source>{option:crop} and {option:points} both set the crop.</source>
   <translation>{option:crop} und {option:points} setzen beide den Ausschnitt.</translation>
  </message>
  <message>
   <source>{option:crop} sets the only crop</source>
   <translation>{option:crop} setzt den einzigen Ausschnitt</translation>
  </message>
  <message>
   <source>{option:driver_for} chooses among several faces, but {what}.</source>
   <translation>{option:driver_for} wählt unter mehreren Gesichtern, aber {what}.</translation>
  </message>
  <message>
   <source>{option:driver_for}: {first} and {choice} are the same face of {name}.</source>
   <translation>{option:driver_for}: {first} und {choice} sind dasselbe Gesicht von {name}.</translation>
  </message>
  <message>
   <source>{option:driving_option} has no effect on relative motion, as in the official release.</source>
   <translation>{option:driving_option} hat bei relativer Bewegung keine Wirkung, auch in der offiziellen Fassung nicht.</translation>
  </message>
  <message>
   <source>{option:expression}: there is no saved expression and no file {text!r}.</source>
   <translation>{option:expression}: es gibt weder einen gespeicherten Ausdruck noch eine Datei {text!r}.</translation>
  </message>
  <message>
   <source>{option:fit} has no effect without {option:size}.</source>
   <translation>{option:fit} hat ohne {option:size} keine Wirkung.</translation>
  </message>
  <message>
   <source>{option:landmarks} is for photos, and {name} is a clip.</source>
   <translation>{option:landmarks} enthält das Gesicht eines Fotos, und {name} ist ein Clip.</translation>
  </message>
  <message>
   <source>{option:landmarks} sets the only face; {option:face} has no effect.</source>
   <translation>{option:landmarks} enthält das einzige Gesicht; {option:face} hat keine Wirkung.</translation>
  </message>
  <message>
   <source>{option:landmarks} sets the only one</source>
   <translation>{option:landmarks} enthält das einzige</translation>
  </message>
  <message>
   <source>{option:landmarks}: {path} can't be used: {error}.</source>
   <translation>{option:landmarks}: {path} kann nicht benutzt werden: {error}.</translation>
  </message>
  <message>
   <source>{option:length}: pingpong needs a photo as the source, and {source} is a clip.</source>
   <translation>{option:length}: pingpong braucht ein Foto als Quelle, und {source} ist ein Video.</translation>
  </message>
  <message>
   <source>{option:output}: a single {text!r} in {pattern!r}.</source>
   <translation>{option:output}: ein einzelnes {text!r} in {pattern!r}.</translation>
  </message>
  <message>
   <source>{option:output}: motion templates can't go to standard output.</source>
   <translation>{option:output}: Bewegungsvorlagen können nicht auf die Standardausgabe.</translation>
  </message>
  <message>
   <source>{option:output}: there is no field {{{name}}}; known are {names}.</source>
   <translation>{option:output}: es gibt kein Feld {{{name}}}; bekannt sind {names}.</translation>
  </message>
  <message>
   <source>{option:output}: {output} is a clip, but the result is a single image.</source>
   <translation>{option:output}: {output} ist ein Clip, das Ergebnis ist aber ein einzelnes Bild.</translation>
  </message>
  <message>
   <source>{option:output}: {output} is a single image, but the result is a clip.</source>
   <translation>{option:output}: {output} fasst ein Bild, und das Ergebnis ist ein Clip.</translation>
  </message>
  <message>
   <source>{option:output}: {path} has no extension that determines the format.</source>
   <translation>{option:output}: {path} hat keine Endung, die das Format nennt.</translation>
  </message>
  <message>
   <source>{option:output}: {path} is an extension without a name.</source>
   <translation>{option:output}: {path} ist eine Endung ohne Namen.</translation>
  </message>
  <message>
   <source>{option:output}: {path} is not the name of a motion template.</source>
   <translation>{option:output}: {path} ist kein Name einer Bewegungsvorlage.</translation>
  </message>
  <message>
   <source>{option:output}: {path} is not the name of a speech template.</source>
   <translation>{option:output}: {path} ist kein Name einer Sprechvorlage.</translation>
  </message>
  <message>
   <source>{option:points} and {option:landmarks} both set the face.</source>
   <translation>{option:points} und {option:landmarks} enthalten beide das Gesicht.</translation>
  </message>
  <message>
   <source>{option:points} is for the face of an animal.</source>
   <translation>{option:points} enthält das Gesicht eines Tiers.</translation>
  </message>
  <message>
   <source>{option:side_by_side} writes a second file, which can't go to standard output.</source>
   <translation>{option:side_by_side} schreibt eine zweite Datei, die nicht auf die Standardausgabe kann.</translation>
  </message>
  <message>
   <source>{option:side_by_side}: the comparison would be {whole}x{whole2}, and a clip can have at most {clip_pixels:.1f} million pixels and {clip_side} per side.</source>
   <translation>{option:side_by_side}: Der Vergleich hätte {whole}x{whole2}, und ein Video hat höchstens {clip_pixels:.1f} Millionen Pixel und {clip_side} je Seite.</translation>
  </message>
  <message>
   <source>{option:size} and {option:max_side} both set the size of the result.</source>
   <translation>{option:size} und {option:max_side} sagen beide, wie groß das Ergebnis ist.</translation>
  </message>
  <message>
   <source>{option:size}: {wanted}x{wanted2} is too large; a clip can have at most {pixels} million pixels and {clip_side} per side.</source>
   <translation>{option:size}: {wanted}x{wanted2} ist zu groß; ein Video hat höchstens {pixels} Millionen Pixel und {clip_side} je Seite.</translation>
  </message>
  <message>
   <source>{option:start}: the template has {what} from {start:g} s to {last:g} s.</source>
   <translation>{option:start}: Die Vorlage hat {what} von {start:g} s bis {last:g} s.</translation>
  </message>
  <message>
   <source>{option:voice} and {option:lips_from} both drive the lips.</source>
   <translation>{option:voice} und {option:lips_from} sagen beide, wer die Lippen bewegt.</translation>
  </message>
  <message>
   <source>{option} off</source>
   <translation>{option} aus</translation>
  </message>
  <message>
   <source>{output} already exists.</source>
   <translation>{output} gibt es schon.</translation>
  </message>
  <message>
   <source>{output} can't be reached or written: {text}.</source>
   <translation>{output} kann nicht erreicht oder geschrieben werden: {text}.</translation>
  </message>
  <message>
   <source>{output} can't be reached: {error}.</source>
   <translation>{output} kann nicht erreicht werden: {error}.</translation>
  </message>
  <message>
   <source>{output} is being rendered as job {id} of {batch}, from other inputs or with other options.</source>
   <translation>{output} wird gerade gerendert, als Auftrag {id} von {batch}, aus anderen Eingaben oder mit anderen Optionen.</translation>
  </message>
  <message>
   <source>{output} is the output of job {id} of {batch}, which another process is rendering from other inputs or with other options.</source>
   <translation>{output} ist das Ergebnis von Auftrag {id} von {batch}, an dem gerade gearbeitet wird, aus anderen Eingaben oder mit anderen Optionen.</translation>
  </message>
  <message>
   <source>{output} is the output of job {row}, which is damaged: {error}.</source>
   <translation>{output} ist das Ergebnis von Auftrag {row}, der beschädigt ist: {error}.</translation>
  </message>
  <message>
   <source>{output} is the output of waiting job {id}.</source>
   <translation>{output} ist die Ausgabe eines wartenden Auftrags, Nummer {id}.</translation>
  </message>
  <message>
   <source>{output} needs fsspec, which is not installed.</source>
   <translation>{output} braucht fsspec, das nicht installiert ist.</translation>
  </message>
  <message>
   <source>{own} not created yet</source>
   <translation>{own} noch nicht angelegt</translation>
  </message>
  <message>
   <source>{part!r} is not a slider with a value such as smile=0.5.</source>
   <translation>{part!r} ist kein Regler mit einem Wert, etwa smile=0.5.</translation>
  </message>
  <message>
   <source>{part}... is longer than file systems allow ({size}).</source>
   <translation>{part}... ist länger, als Dateisysteme erlauben ({size}).</translation>
  </message>
  <message>
   <source>{part}: fixed amount</source>
   <translation>{part}: feste Öffnung</translation>
  </message>
  <message>
   <source>{part}: follow the driver</source>
   <translation>{part}: wie der Antrieb</translation>
  </message>
  <message>
   <source>{path} already exists and is not a result of this queue.</source>
   <translation>{path} gibt es schon, und es ist kein Ergebnis dieser Warteschlange.</translation>
  </message>
  <message>
   <source>{path} already exists.</source>
   <translation>{path} gibt es schon.</translation>
  </message>
  <message>
   <source>{path} can hold only one image, and the result has more.</source>
   <translation>{path} fasst ein Bild, und das Ergebnis hat mehr.</translation>
  </message>
  <message>
   <source>{path} can't be listed: {reason}.</source>
   <translation>{path} kann nicht aufgelistet werden: {reason}.</translation>
  </message>
  <message>
   <source>{path} can't be read: it is nested more than {max_depth} levels deep.</source>
   <translation>{path} kann nicht gelesen werden: es ist mehr als {max_depth} Ebenen tief verschachtelt.</translation>
  </message>
  <message>
   <source>{path} can't be read: it is not UTF-8 text.</source>
   <translation>{path} lässt sich nicht lesen: Die Datei ist kein UTF-8-Text.</translation>
  </message>
  <message>
   <source>{path} can't be read: {error}.</source>
   <translation>{path} kann nicht gelesen werden: {error}.</translation>
  </message>
  <message>
   <source>{path} can't be read: {reason}.</source>
   <translation>{path} kann nicht gelesen werden: {reason}.</translation>
  </message>
  <message>
   <source>{path} can't be read: {text}.</source>
   <translation>{path} kann nicht gelesen werden: {text}.</translation>
  </message>
  <message>
   <source>{path} can't be read: {what}.</source>
   <translation>{path} kann nicht gelesen werden: {what}.</translation>
  </message>
  <message>
   <source>{path} can't be used as a queue: {error}.</source>
   <translation>{path} kann nicht als Warteschlange dienen: {error}.</translation>
  </message>
  <message>
   <source>{path} can't be used as a queue: {why}.</source>
   <translation>{path} kann nicht als Warteschlange dienen: {why}.</translation>
  </message>
  <message>
   <source>{path} can't be written.</source>
   <translation>{path} kann nicht geschrieben werden.</translation>
  </message>
  <message>
   <source>{path} can't be written: {reason}.</source>
   <translation>{path} kann nicht geschrieben werden: {reason}.</translation>
  </message>
  <message>
   <source>{path} can't be written: {what}.</source>
   <translation>{path} kann nicht geschrieben werden: {what}.</translation>
  </message>
  <message>
   <source>{path} changes its size at frame {k}.</source>
   <translation>{path} ändert bei Bild {k} die Größe.</translation>
  </message>
  <message>
   <source>{path} changes its size from {width}x{height} to {size}x{size2} at {time:.2f} s; the rest is fitted into the first size.</source>
   <translation>{path} ändert bei {time:.2f} s die Größe von {width}x{height} auf {size}x{size2}; alles Weitere wird in die erste Größe eingepasst.</translation>
  </message>
  <message>
   <source>{path} contains 0 seconds of sound.</source>
   <translation>{path} enthält 0 Sekunden Ton.</translation>
  </message>
  <message>
   <source>{path} contains no image that can be read.</source>
   <translation>{path} enthält kein lesbares Bild.</translation>
  </message>
  <message>
   <source>{path} contains no images.</source>
   <translation>{path} enthält keine Bilder.</translation>
  </message>
  <message>
   <source>{path} contains no rows.</source>
   <translation>{path} enthält keine Zeilen.</translation>
  </message>
  <message>
   <source>{path} contains no sound in the used part.</source>
   <translation>{path} enthält im verwendeten Teil keinen Ton.</translation>
  </message>
  <message>
   <source>{path} contains no sound.</source>
   <translation>{path} enthält keinen Ton.</translation>
  </message>
  <message>
   <source>{path} contains no video.</source>
   <translation>{path} enthält kein Video.</translation>
  </message>
  <message>
   <source>{path} contains {count} images; only the main one is used.</source>
   <translation>{path} enthält {count} Bilder; nur das Hauptbild wird benutzt.</translation>
  </message>
  <message>
   <source>{path} contains {what}.</source>
   <translation>{path} enthält {what}.</translation>
  </message>
  <message>
   <source>{path} declares pixels {odd:.3g} times as wide as high, which must be wrong; square pixels are assumed.</source>
   <translation>{path} gibt Pixel an, die {odd:.3g}-mal so breit wie hoch sind; das ist ein Fehler, sie wurden als quadratisch behandelt.</translation>
  </message>
  <message>
   <source>{path} does not end in .gif.</source>
   <translation>{path} endet nicht auf .gif.</translation>
  </message>
  <message>
   <source>{path} does not exist.</source>
   <translation>{path} gibt es nicht.</translation>
  </message>
  <message>
   <source>{path} does not exist; the option detector needs a face detector as an .onnx file.</source>
   <translation>{path} ist nicht da; die Option detector verlangt einen Gesichtsdetektor als .onnx-Datei.</translation>
  </message>
  <message>
   <source>{path} does not fit into memory.</source>
   <translation>{path} passt nicht in den Speicher.</translation>
  </message>
  <message>
   <source>{path} has an input without a size.</source>
   <translation>{path} hat einen Eingang ohne Größe.</translation>
  </message>
  <message>
   <source>{path} has no clip extension that can be written.</source>
   <translation>{path} hat keine Clipendung, die geschrieben werden kann.</translation>
  </message>
  <message>
   <source>{path} has no frame from {start:g} s on.</source>
   <translation>{path} hat ab {start:g} s kein Bild.</translation>
  </message>
  <message>
   <source>{path} has no frame that can be decoded.</source>
   <translation>{path} hat kein Bild, das sich dekodieren lässt.</translation>
  </message>
  <message>
   <source>{path} has no image extension that can be written.</source>
   <translation>{path} hat keine Bildendung, die geschrieben werden kann.</translation>
  </message>
  <message>
   <source>{path} has version {version}, but this program supports only versions up to {schema_version}.</source>
   <translation>{path} hat die Version {version}, aber dieses Programm liest nur bis Version {schema_version}.</translation>
  </message>
  <message>
   <source>{path} is YAML, and PyYAML is not installed.</source>
   <translation>{path} ist YAML, und PyYAML ist nicht installiert.</translation>
  </message>
  <message>
   <source>{path} is a HEIC image; reading it needs the plug-in pillow-heif.</source>
   <translation>{path} ist ein HEIC-Bild; zum Lesen fehlt das Zusatzpaket pillow-heif.</translation>
  </message>
  <message>
   <source>{path} is a HEIC sequence; only its still is used. As a driving file it would play.</source>
   <translation>{path} ist eine HEIC-Sequenz; nur ihr Standbild wird benutzt. Als treibende Datei wird sie abgespielt.</translation>
  </message>
  <message>
   <source>{path} is a Motion Photo; its film is used, not its still.</source>
   <translation>{path} ist ein Bewegungsfoto; der Film wird verwendet, nicht das Standbild.</translation>
  </message>
  <message>
   <source>{path} is a Motion Photo; only its still is used. Export its film as a clip to use it.</source>
   <translation>{path} ist ein Bewegungsfoto; nur das Standbild wird verwendet. Exportiere den Film als Clip, um ihn zu verwenden.</translation>
  </message>
  <message>
   <source>{path} is a camera raw file, of which only a small preview could be read.</source>
   <translation>{path} ist ein Kamera-Rohbild, von dem nur eine kleine Vorschau gelesen werden konnte.</translation>
  </message>
  <message>
   <source>{path} is a damaged image.</source>
   <translation>{path} ist ein beschädigtes Bild.</translation>
  </message>
  <message>
   <source>{path} is a file and can't be a folder of images.</source>
   <translation>{path} ist eine Datei und kann kein Ordner mit Bildern sein.</translation>
  </message>
  <message>
   <source>{path} is a folder, not a file.</source>
   <translation>{path} ist ein Ordner, keine Datei.</translation>
  </message>
  <message>
   <source>{path} is a pipe or a device, not a file.</source>
   <translation>{path} ist eine Pipe oder ein Gerät, keine Datei.</translation>
  </message>
  <message>
   <source>{path} is a {wide} clip; its colours were mapped to sRGB.</source>
   <translation>{path} ist ein {wide}-Video; seine Farben wurden nach sRGB umgerechnet.</translation>
  </message>
  <message>
   <source>{path} is an AVIF image and this Pillow can't read it.</source>
   <translation>{path} ist ein AVIF-Bild, und dieses Pillow kann es nicht lesen.</translation>
  </message>
  <message>
   <source>{path} is an input and can't be the output as well.</source>
   <translation>{path} ist eine Eingabe und kann nicht auch die Ausgabe sein.</translation>
  </message>
  <message>
   <source>{path} is damaged: it lacks columns.</source>
   <translation>{path} ist beschädigt: Spalten fehlen.</translation>
  </message>
  <message>
   <source>{path} is empty (0 bytes).</source>
   <translation>{path} ist leer (0 Bytes).</translation>
  </message>
  <message>
   <source>{path} is finished; no frame can follow</source>
   <translation>{path} ist abgeschlossen; es kann kein Bild folgen</translation>
  </message>
  <message>
   <source>{path} is interlaced; its frames were deinterlaced.</source>
   <translation>{path} ist ein Halbbildvideo (interlaced); die Halbbilder wurden zu Vollbildern zusammengesetzt.</translation>
  </message>
  <message>
   <source>{path} is not a clip that can be read: {what}.</source>
   <translation>{path} ist kein lesbarer Clip: {what}.</translation>
  </message>
  <message>
   <source>{path} is not a complete image: {what}.</source>
   <translation>{path} ist kein vollständiges Bild: {what}.</translation>
  </message>
  <message>
   <source>{path} is not a job file.</source>
   <translation>{path} ist keine Auftragsdatei.</translation>
  </message>
  <message>
   <source>{path} is not a project.</source>
   <translation>{path} ist kein Projekt.</translation>
  </message>
  <message>
   <source>{path} is not a queue but another database.</source>
   <translation>{path} ist keine Warteschlange, sondern eine andere Datenbank.</translation>
  </message>
  <message>
   <source>{path} is not an expression: {error}.</source>
   <translation>{path} ist kein Ausdruck: {error}.</translation>
  </message>
  <message>
   <source>{path} is not an image in a known format.</source>
   <translation>{path} ist kein Bild in einem bekannten Format.</translation>
  </message>
  <message>
   <source>{path} is not the name of a video file.</source>
   <translation>{path} ist kein Name einer Videodatei.</translation>
  </message>
  <message>
   <source>{path} is not valid TOML: {error}.</source>
   <translation>{path} ist kein gültiges TOML: {error}.</translation>
  </message>
  <message>
   <source>{path} is not valid {suffix}: {reason}.</source>
   <translation>{path} ist kein gültiges {suffix}: {reason}.</translation>
  </message>
  <message>
   <source>{path} is the name of a clip, not of numbered images.</source>
   <translation>{path} ist der Name eines Videos, nicht von nummerierten Bildern.</translation>
  </message>
  <message>
   <source>{path} is {what} and can't be an output file.</source>
   <translation>{path} ist {what} und kann keine Ausgabedatei sein.</translation>
  </message>
  <message>
   <source>{path} is {what}, and links are not replaced.</source>
   <translation>{path} ist {what}, und Verknüpfungen werden nicht ersetzt.</translation>
  </message>
  <message>
   <source>{path} is {width}x{height} ({found:.1f} million pixels); the limit for a frame of a clip is {most:.1f} million pixels.</source>
   <translation>{path} hat {width}x{height} ({found:.1f} Millionen Pixel); die Grenze für ein Bild eines Clips liegt bei {most:.1f} Millionen Pixeln.</translation>
  </message>
  <message>
   <source>{path} is {width}x{height} ({found:.1f} million pixels); the limit for a photo is {most:.1f} million pixels.</source>
   <translation>{path} hat {width}x{height} ({found:.1f} Millionen Pixel); die Grenze für ein Foto liegt bei {most:.1f} Millionen Pixeln.</translation>
  </message>
  <message>
   <source>{path} is {width}x{height} pixels; the limit for a side is {longest_side} pixels.</source>
   <translation>{path} hat {width}x{height} Pixel; die Grenze für eine Seite liegt bei {longest_side} Pixeln.</translation>
  </message>
  <message>
   <source>{path} lasts {duration:g} s.</source>
   <translation>{path} dauert {duration:g} s.</translation>
  </message>
  <message>
   <source>{path} was created in the meantime.</source>
   <translation>{path} ist inzwischen entstanden.</translation>
  </message>
  <message>
   <source>{path} was made by a newer version.</source>
   <translation>{path} stammt von einer neueren Version.</translation>
  </message>
  <message>
   <source>{path} was not written: no face tracker or voice moved the portrait.</source>
   <translation>{path} wurde nicht geschrieben: Kein Gesichtstracker und keine Stimme hat das Porträt bewegt.</translation>
  </message>
  <message>
   <source>{path} was not written: there is no frame.</source>
   <translation>{path} wurde nicht geschrieben: es gibt kein Bild.</translation>
  </message>
  <message>
   <source>{path} was not written: there was no frame.</source>
   <translation>{path} wurde nicht geschrieben: es gab kein Bild.</translation>
  </message>
  <message>
   <source>{path} was written by another version of this program.</source>
   <translation>{path} wurde von einer anderen Version dieses Programms geschrieben.</translation>
  </message>
  <message>
   <source>{path}, line {before}: this is not valid CSV: {error}.</source>
   <translation>{path}, Zeile {before}: das ist kein gültiges CSV: {error}.</translation>
  </message>
  <message>
   <source>{path}, line {start}: {count} cells, but the first line names {count2}.</source>
   <translation>{path}, Zeile {start}: {count} Zellen, aber die erste Zeile nennt {count2}.</translation>
  </message>
  <message>
   <source>{path}... is longer than the name of a file can be.</source>
   <translation>{path}... ist länger, als der Name einer Datei sein kann.</translation>
  </message>
  <message>
   <source>{path}: Windows does not allow {found!r} in a name.</source>
   <translation>{path}: Windows erlaubt kein {found!r} in einem Namen.</translation>
  </message>
  <message>
   <source>{path}: a name can't contain the character NUL.</source>
   <translation>{path}: Ein Name kann das Zeichen NUL nicht enthalten.</translation>
  </message>
  <message>
   <source>{path}: a table of names and values is expected.</source>
   <translation>{path}: eine Tabelle von Namen und Werten wird erwartet.</translation>
  </message>
  <message>
   <source>{path}: image numbers can have at most {digits} digits.</source>
   <translation>{path}: Bildnummern haben höchstens {digits} Stellen.</translation>
  </message>
  <message>
   <source>{path}: images {gaps} are missing; the previous image is held.</source>
   <translation>{path}: die Bilder {gaps} fehlen; so lange bleibt das Bild davor stehen.</translation>
  </message>
  <message>
   <source>{path}: no face was found in {count}.</source>
   <translation>{path}: in {count} wurde kein Gesicht gefunden.</translation>
  </message>
  <message>
   <source>{path}: no frame of its video can be decoded.</source>
   <translation>{path}: nicht ein Bild seines Videos lässt sich dekodieren.</translation>
  </message>
  <message>
   <source>{path}: options must be a table of names and values.</source>
   <translation>{path}: options muss eine Tabelle von Namen und Werten sein.</translation>
  </message>
  <message>
   <source>{path}: schema_version must be a whole number from 1, not {version}.</source>
   <translation>{path}: schema_version muss eine ganze Zahl ab 1 sein, nicht {version}.</translation>
  </message>
  <message>
   <source>{path}: the rate of an image sequence must be above 0.</source>
   <translation>{path}: die Bildrate einer Bildfolge muss über 0 liegen.</translation>
  </message>
  <message>
   <source>{path}: there is no entry named {word}.</source>
   <translation>{path}: es gibt keinen Eintrag namens {word}.</translation>
  </message>
  <message>
   <source>{path}: {part} is the name of a device on Windows.</source>
   <translation>{path}: {part} ist unter Windows der Name eines Geräts.</translation>
  </message>
  <message>
   <source>{path}: {word} must be a text of at most {longest:,} characters, not {text}.</source>
   <translation>{path}: {word} muss ein Text von höchstens {longest:,} Zeichen sein, nicht {text}.</translation>
  </message>
  <message>
   <source>{path}: {wrong} belongs to a single run and can't be part of a preset.</source>
   <translation>{path}: {wrong} gehört zu einem einzelnen Lauf und kann nicht Teil einer Voreinstellung sein.</translation>
  </message>
  <message>
   <source>{path}{place}: this is not valid YAML: {problem}.</source>
   <translation>{path}{place}: das ist kein gültiges YAML: {problem}.</translation>
  </message>
  <message>
   <source>{place} can't be reached: the FFmpeg in this PyAV was built without its protocol.</source>
   <translation>{place} ist nicht erreichbar: Das FFmpeg in diesem PyAV wurde ohne dieses Protokoll gebaut.</translation>
  </message>
  <message>
   <source>{place} does not accept frames: no response for {seconds:g} s.</source>
   <translation>{place} nimmt keine Bilder an: keine Antwort seit {seconds:g} s.</translation>
  </message>
  <message>
   <source>{place} does not accept frames: {reason}.</source>
   <translation>{place} nimmt keine Bilder an: {reason}.</translation>
  </message>
  <message>
   <source>{place} is no option named {name!r}.</source>
   <translation>{place} ist keine Option namens {name!r}.</translation>
  </message>
  <message>
   <source>{place} is open to the network: any computer there can send to it.</source>
   <translation>{place} ist zum Netz hin offen: Jeder Rechner dort kann dorthin senden.</translation>
  </message>
  <message>
   <source>{platform}, {os} CPU cores</source>
   <translation>{platform}, {os} Prozessorkerne</translation>
  </message>
  <message>
   <source>{rate} fps</source>
   <translation>{rate} Bilder/s</translation>
  </message>
  <message>
   <source>{short!r} is too long for a number.</source>
   <translation>{short!r} ist zu lang für eine Zahl.</translation>
  </message>
  <message>
   <source>{shown} and {count} more</source>
   <translation>{shown} und {count} weitere</translation>
  </message>
  <message>
   <source>{shown} is a URL, and URLs can't be read.</source>
   <translation>{shown} ist eine Adresse, und Adressen werden nicht gelesen.</translation>
  </message>
  <message>
   <source>{shown} is a URL, and URLs can't be written to.</source>
   <translation>{shown} ist eine Adresse, und Adressen werden nicht beschrieben.</translation>
  </message>
  <message>
   <source>{shown} is not known</source>
   <translation>{shown} ist nicht bekannt</translation>
  </message>
  <message>
   <source>{size} MB</source>
   <translation>{size} MB</translation>
  </message>
  <message>
   <source>{size} were downloaded and are kept.</source>
   <translation>{size} sind angekommen und bleiben erhalten.</translation>
  </message>
  <message>
   <source>{size} will be downloaded to {folder}.</source>
   <translation>{size} werden nach {folder} geladen.</translation>
  </message>
  <message>
   <source>{size}/s</source>
   <translation>{size} pro Sekunde</translation>
  </message>
  <message>
   <source>{source} can't be {word} to {target}: {reason}.</source>
   <translation>{source} nach {target} geht nicht ({word}): {reason}.</translation>
  </message>
  <message>
   <source>{source} is an animated image; only its first frame is used.</source>
   <translation>{source} ist ein bewegtes Bild; nur sein erstes Bild wird verwendet.</translation>
  </message>
  <message>
   <source>{source} is {width}x{height}, and a clip can have at most {pixels} million pixels and {clip_side} per side (level 6.2 of H.264); the result is {most}x{most2}.</source>
   <translation>{source} hat {width}x{height}, und ein Video hat höchstens {pixels} Millionen Pixel und {clip_side} je Seite (Stufe 6.2 von H.264); das Ergebnis hat {most}x{most2}.</translation>
  </message>
  <message>
   <source>{source}: no face was found in {source_lost} of {frames} frames; they were left unchanged.</source>
   <translation>{source}: in {source_lost} von {frames} Bildern wurde kein Gesicht gefunden; sie blieben, wie sie sind.</translation>
  </message>
  <message>
   <source>{spec!r} is not a model name; use lower case and the form group/variant.</source>
   <translation>{spec!r} ist kein Name eines Modells; Kleinbuchstaben und die Form gruppe/variante benutzen.</translation>
  </message>
  <message>
   <source>{start}{pattern} would search more than {limit:,} files and folders.</source>
   <translation>{start}{pattern} würde mehr als {limit:,} Dateien und Ordner durchsuchen.</translation>
  </message>
  <message>
   <source>{suffix} can't hold {codec}.</source>
   <translation>{suffix} kann {codec} nicht enthalten.</translation>
  </message>
  <message>
   <source>{target} can't be completed: {reason}.</source>
   <translation>{target} kann nicht vervollständigt werden: {reason}.</translation>
  </message>
  <message>
   <source>{text!r} is longer than any clip.</source>
   <translation>{text!r} ist länger als jedes Video.</translation>
  </message>
  <message>
   <source>{text!r} is not a colour written as #rrggbb, such as #00ff00.</source>
   <translation>{text!r} ist keine Farbe der Form #rrggbb, etwa #00ff00.</translation>
  </message>
  <message>
   <source>{text!r} is not a frame rate above 0 and up to 1000, such as 25 or 30000/1001.</source>
   <translation>{text!r} ist keine Bildrate über 0 und bis 1000, etwa 25 oder 30000/1001.</translation>
  </message>
  <message>
   <source>{text!r} is not a number from 0 to 1.</source>
   <translation>{text!r} ist keine Zahl von 0 bis 1.</translation>
  </message>
  <message>
   <source>{text!r} is not a size such as 1080x1920, with sides of {smallest_side} to {largest_side} px.</source>
   <translation>{text!r} ist keine Größe wie 1080x1920, mit Seiten von {smallest_side} bis {largest_side} px.</translation>
  </message>
  <message>
   <source>{text!r} is not a time in seconds, or minutes and seconds, such as 2.5 or 1:02.5.</source>
   <translation>{text!r} ist keine Zeit in Sekunden, oder Minuten und Sekunden, wie 2.5 oder 1:02.5.</translation>
  </message>
  <message>
   <source>{text!r} is not an address of this computer such as {protocol}://{loopback}:{port}.</source>
   <translation>{text!r} ist keine Adresse dieses Rechners wie {protocol}://{loopback}:{port}.</translation>
  </message>
  <message>
   <source>{text!r} is not auto, first or a frame number counted from 0.</source>
   <translation>{text!r} ist weder auto noch first noch eine Bildnummer ab 0.</translation>
  </message>
  <message>
   <source>{text!r} is not auto, template, matte, parse/NAME or the path of an .onnx file.</source>
   <translation>{text!r} ist weder auto, template, matte, parse/NAME noch der Pfad einer .onnx-Datei.</translation>
  </message>
  <message>
   <source>{text!r} is not embedded, insightface, auto, detect/NAME or the path of an .onnx file.</source>
   <translation>{text!r} ist weder embedded, insightface, auto, detect/NAME noch der Pfad einer .onnx-Datei.</translation>
  </message>
  <message>
   <source>{text!r} is not keep, blur, transparent, a colour such as #00ff00, or the name of an image.</source>
   <translation>{text!r} ist nicht keep, blur, transparent, eine Farbe wie #00ff00 oder der Name eines Bildes.</translation>
  </message>
  <message>
   <source>{text!r} is not one of largest, left, right, centre, a number counted from 1, or a point x,y.</source>
   <translation>{text!r} ist weder largest, left, right, centre noch eine Zahl ab 1 noch ein Punkt x,y.</translation>
  </message>
  <message>
   <source>{text!r} is not one of {known}.</source>
   <translation>{text!r} ist nicht dabei: {known}.</translation>
  </message>
  <message>
   <source>{text!r} is not the URL of a camera such as rtsp://192.168.1.20/live.</source>
   <translation>{text!r} ist nicht die Adresse einer Kamera wie rtsp://192.168.1.20/live.</translation>
  </message>
  <message>
   <source>{text!r} is not x,y,size or x,y,size,angle in pixels and degrees.</source>
   <translation>{text!r} hat nicht die Form x,y,Seite oder x,y,Seite,Winkel in Pixeln und Grad.</translation>
  </message>
  <message>
   <source>{text} divides by zero</source>
   <translation>{text} teilt durch null</translation>
  </message>
  <message>
   <source>{text} is a file on another machine, {host}.</source>
   <translation>{text} ist eine Datei eines anderen Rechners, {host}.</translation>
  </message>
  <message>
   <source>{text} is not a frame rate such as 25 or 30000/1001</source>
   <translation>{text} ist keine Bildrate wie 25 oder 30000/1001</translation>
  </message>
  <message>
   <source>{text} is not a length in seconds such as 5 or 1001/120</source>
   <translation>{text} ist keine Länge in Sekunden wie 5 oder 1001/120</translation>
  </message>
  <message>
   <source>{text} s are out of all bounds</source>
   <translation>{text} s liegen außerhalb aller Grenzen</translation>
  </message>
  <message>
   <source>{text}, lips open by {value:.0f} %</source>
   <translation>{text}, Lippen zu {value:.0f} % offen</translation>
  </message>
  <message>
   <source>{there} already exists.</source>
   <translation>{there} gibt es schon.</translation>
  </message>
  <message>
   <source>{there} can't be used: {why}</source>
   <translation>{there} kann nicht benutzt werden: {why}</translation>
  </message>
  <message>
   <source>{time} left</source>
   <translation>noch {time}</translation>
  </message>
  <message>
   <source>{time} ms</source>
   <translation>{time} ms</translation>
  </message>
  <message>
   <source>{title} can't be animated: {said}.</source>
   <translation>{title} kann nicht bewegt werden: {said}.</translation>
  </message>
  <message>
   <source>{title} can't be played: {error}</source>
   <translation>{title} steht still: {error}</translation>
  </message>
  <message>
   <source>{title} can't be used ({why}).</source>
   <translation>{title} kann nicht benutzt werden ({why}).</translation>
  </message>
  <message>
   <source>{title} has not opened within {opening:g} s.</source>
   <translation>{title} hat sich nicht binnen {opening:g} s geöffnet.</translation>
  </message>
  <message>
   <source>{title} needs the package {package}.</source>
   <translation>{title} braucht das Paket {package}.</translation>
  </message>
  <message>
   <source>{url!r} is not an https URL.</source>
   <translation>{url!r} ist keine https-Adresse.</translation>
  </message>
  <message>
   <source>{url} can't be fetched ({reason}); the received part is kept.</source>
   <translation>{url} kann nicht geladen werden ({reason}); was da ist, bleibt erhalten.</translation>
  </message>
  <message>
   <source>{url} redirects to an invalid URL; nothing was downloaded.</source>
   <translation>{url} leitet zu etwas um, das keine Adresse ist; nichts wurde geholt.</translation>
  </message>
  <message>
   <source>{url} returned {code} {reason}.</source>
   <translation>{url} antwortet {code} {reason}.</translation>
  </message>
  <message>
   <source>{url} sent a wrong file: {message}</source>
   <translation>Was {url} geschickt hat, ist falsch: {message}</translation>
  </message>
  <message>
   <source>{wanted} from {bounds}</source>
   <translation>{wanted} von {bounds}</translation>
  </message>
  <message>
   <source>{what} failed: {name}: {error}.</source>
   <translation>{what} ist gescheitert: {name}: {error}.</translation>
  </message>
  <message>
   <source>{where}: a table of names and values is expected.</source>
   <translation>{where}: eine Tabelle von Namen und Werten wird erwartet.</translation>
  </message>
  <message>
   <source>{where}: no file matches {name}.</source>
   <translation>{where}: keine Datei passt zu {name}.</translation>
  </message>
  <message>
   <source>{where}: the results of batches can't go to standard output.</source>
   <translation>{where}: die Ergebnisse von Stapeln können nicht auf die Standardausgabe.</translation>
  </message>
  <message>
   <source>{where}: there are more than {most_jobs:,} jobs.</source>
   <translation>{where}: es sind mehr als {most_jobs:,} Aufträge.</translation>
  </message>
  <message>
   <source>{where}: there are no {missing}.</source>
   <translation>{where}: es fehlen {missing}.</translation>
  </message>
  <message>
   <source>{where}: there is no {missing}.</source>
   <translation>{where}: es fehlt {missing}.</translation>
  </message>
  <message>
   <source>{where}: {count} sources and {count2} driving files don't make pairs.</source>
   <translation>{where}: {count} Quellen und {count2} Antriebsdateien ergeben keine Paare.</translation>
  </message>
  <message>
   <source>{where}: {found} can't be set among the options.</source>
   <translation>{where}: {found} kann nicht unter den Optionen stehen.</translation>
  </message>
  <message>
   <source>{where}: {output} is an input and can't be an output as well.</source>
   <translation>{where}: {output} ist eine Eingabe und kann nicht auch Ausgabe sein.</translation>
  </message>
  <message>
   <source>{where}: {output} would be written twice, from {source} with {driving} and from {source2} with {driving2}.</source>
   <translation>{where}: {output} würde zweimal geschrieben, aus {source} mit {driving} und aus {source2} mit {driving2}.</translation>
  </message>
  <message>
   <source>{worker!r} is not the name of a worker</source>
   <translation>{worker!r} ist kein Name eines Arbeiters</translation>
  </message>
  <message>
   <source>{wrong!r} is not one of all, exp, pose, lip, eyes, or several joined by commas.{hint}</source>
   <translation>{wrong!r} ist nicht all, exp, pose, lip, eyes oder mehrere davon, durch Kommas verbunden.{hint}</translation>
  </message>
 </context>
</TS>
